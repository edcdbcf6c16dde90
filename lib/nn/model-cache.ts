import type { TreeRows } from '../tensor/ops/attention/kv-cache';
import type { Device } from '../tensor/device';
import type { Tensor } from '../tensor/tensor';
import { KvCache, type KvCacheOptions } from './kv-cache';

/**
 * What the layers of a model keep of the committed positions of some texts: keys and values of layers with attention. Layers count
 * among those of their kind.
 */
export class ModelCache implements Disposable {
  /** Keys and values of the layers with attention. */
  readonly kv: KvCache;

  /**
   * @throws ForetokenError as {@link KvCache} does
   */
  constructor(device: Device, options: KvCacheOptions) {
    this.kv = new KvCache(device, options);
  }

  /** Number of committed positions of each sequence. */
  get lengths(): Int32Array {
    return this.kv.lengths;
  }

  /**
   * Makes sure that a sequence has memory for `positions` positions, the nodes of the next tree included.
   * @throws ForetokenError OUT_OF_MEMORY; the cache is then unchanged. UNSUPPORTED inside a capture
   */
  reserve(sequence: number, positions: number): void {
    this.kv.reserve(sequence, positions);
  }

  /** Forgets the text of a sequence. */
  release(sequence: number): void {
    this.kv.release(sequence);
  }

  /** Brings the rows that a step accepted to where plain decoding has them, as {@link KvCache.compact} does. */
  compact(tree: TreeRows, path: Tensor, counts: Tensor): void {
    this.kv.compact(tree, path, counts);
  }

  /** Commits the next rows of each sequence, as {@link KvCache.advance} does. */
  advance(accepted: ArrayLike<number>): void {
    this.kv.advance(accepted);
  }

  /** Frees the memory; captures that use it keep it until they are disposed of. */
  dispose(): void {
    this.kv.dispose();
  }

  /** Calls {@link dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
