import { checkInteger } from '../check';
import type { ActivationDType, KvCacheHandle } from '../native/binding';
import { native } from '../native/load';
import type { Device } from './device';

/** Sizes of {@link KvPages}. */
export interface KvSizes {
  layers: number;
  kvHeads: number;
  headDim: number;
  capacity: number;
  sequences: number;
  dtype: ActivationDType;
}

// Frees caches that were never disposed of. Callers should dispose of caches themselves.
const forgotten = new FinalizationRegistry<KvCacheHandle>((handle) => {
  try {
    native.disposeKvCache(handle);
  } catch {
    // The device was closed first.
  }
});

/** The memory of a KvCache: pages of 64 positions that sequences get and give back. Its addresses never change, so captures stay valid. */
export class KvPages implements Disposable {
  readonly #handle: KvCacheHandle;
  #disposed = false;
  /** The most positions of a sequence. */
  readonly capacity: number;
  /** Number of sequences. */
  readonly sequences: number;
  /** Number of positions that each sequence has pages for. */
  readonly reserved: Int32Array;

  /** @internal */
  constructor(
    /** The device of the pages. */
    readonly device: Device,
    { layers, kvHeads, headDim, capacity, sequences, dtype }: KvSizes,
  ) {
    this.#handle = native.kvCache(device.handle, layers, kvHeads, headDim, capacity, sequences, dtype);
    forgotten.register(this, this.#handle, this);
    this.capacity = capacity;
    this.sequences = sequences;
    this.reserved = new Int32Array(sequences);
  }

  /**
   * Whether a value has pages of this copy of the package.
   * @internal
   */
  static isKvPages(value: unknown): value is KvPages {
    return typeof value === 'object' && value !== null && #handle in value;
  }

  /** The native handle. Operations refuse it after `dispose`. */
  get handle(): KvCacheHandle {
    return this.#handle;
  }

  /** Bytes of all pages, in use or free. */
  get bytes(): number {
    return native.kvBytes(this.#handle);
  }

  /**
   * Makes sure that a sequence has pages for at least `positions` positions, the nodes of the next tree included; never takes pages
   * away. New pages hold zeros.
   * @throws ForetokenError OUT_OF_MEMORY; the cache is then unchanged. UNSUPPORTED inside a capture
   */
  reserve(sequence: number, positions: number): void {
    checkInteger('KvCache: sequence', sequence, 0, this.sequences - 1);
    checkInteger('KvCache: positions', positions, 0, this.capacity);
    if (positions <= this.reserved[sequence]!) return;
    this.reserved[sequence] = native.kvReserve(this.#handle, sequence, positions);
  }

  /**
   * Returns the pages of a sequence to the pool, for any sequence.
   * @throws ForetokenError UNSUPPORTED inside a capture
   */
  release(sequence: number): void {
    checkInteger('KvCache: sequence', sequence, 0, this.sequences - 1);
    native.kvRelease(this.#handle, sequence);
    this.reserved[sequence] = 0;
  }

  /** Frees the memory; captures that use it keep it until they are disposed of. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    forgotten.unregister(this);
    if (!this.device.closed) native.disposeKvCache(this.#handle);
  }

  /** Calls {@link dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
