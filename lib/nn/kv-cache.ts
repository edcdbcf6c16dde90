import { check, checkInteger, checkOptions, required, type Schema } from '../check';
import { ForetokenError } from '../errors';
import type { ActivationDType } from '../tensor/types';
import { activationDType, device as deviceChecker } from '../tensor/checks';
import type { Device } from '../tensor/device';
import { kvCompact, type TreeRows } from '../tensor/ops/attention/kv-cache';
import { keep } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import { layerCount, size } from './checks';

/** Sizes of a {@link KvCache}. */
export interface KvCacheOptions {
  /** Layers whose keys and values are kept; 0 for a cache that counts positions alone. */
  layers: number;
  /** Key heads of a layer; there are as many value heads. */
  kvHeads: number;
  /** Numbers in one head. */
  headDim: number;
  /** Positions that each sequence has room for, the nodes of a tree included. */
  capacity: number;
  /** Number of sequences that are decoded side by side. Default 1. */
  sequences?: number;
  /** Type of keys and values, which must be that of the rows of qkv. Default float32. */
  dtype?: ActivationDType;
}

const KV_CACHE_OPTIONS: Schema<KvCacheOptions> = {
  layers: required(layerCount),
  kvHeads: required(size),
  headDim: required(size),
  capacity: required(size),
  sequences: size,
  dtype: activationDType,
};

/** Keeps the keys and values of the committed positions of some sequences, with room after them for the nodes of one draft tree. */
export class KvCache implements Disposable {
  /** [layers, 2, sequences, kvHeads, capacity, headDim]. */
  readonly tensor: Tensor;
  /** Positions that each sequence has room for. */
  readonly capacity: number;
  /** Number of sequences. */
  readonly sequences: number;
  /** Number of committed positions of each sequence. */
  readonly lengths: Int32Array;

  /** @throws ForetokenError INVALID_ARGUMENT naming the option, what was given and what is allowed; OUT_OF_MEMORY */
  constructor(
    /** The device of the cache. */
    readonly device: Device,
    options: KvCacheOptions,
  ) {
    check('KvCache: device', device, deviceChecker);
    const checked = checkOptions('KvCache', options, KV_CACHE_OPTIONS);
    const { layers, kvHeads, headDim, capacity, sequences = 1, dtype } = checked;
    this.capacity = capacity;
    this.sequences = sequences;
    this.tensor = keep(device.zeros([layers, 2, sequences, kvHeads, capacity, headDim], dtype));
    this.lengths = new Int32Array(sequences);
  }

  /**
   * Moves the keys and values of the accepted rows of a tree to the slots that plain decoding would have used. The caller calls
   * `advance` when the host knows the counts.
   * @param path int32 [sequences, stride]: accepted rows, root first, then -1
   * @param counts int32 [sequences]: number of accepted rows
   */
  compact(tree: TreeRows, path: Tensor, counts: Tensor): void {
    kvCompact(this.tensor, tree.rowOffsets, tree.lengths, path, counts);
  }

  /** Commits the next rows of each sequence: those of a chain, or of a tree after `compact`. */
  advance(accepted: ArrayLike<number>): void {
    for (let sequence = 0; sequence < this.sequences; sequence++) {
      checkInteger(`KvCache: accepted[${sequence}]`, accepted[sequence]!, 0);
      const length = this.lengths[sequence]! + accepted[sequence]!;
      if (length > this.capacity) {
        throw new ForetokenError(
          'INVALID_ARGUMENT',
          `KvCache: sequence ${sequence} would have ${length} positions, but the capacity is ${this.capacity}`,
        );
      }
      this.lengths[sequence] = length;
    }
  }

  /** Discards all positions from `length` on. */
  truncate(sequence: number, length: number): void {
    checkInteger('KvCache: sequence', sequence, 0, this.sequences - 1);
    checkInteger('KvCache: length', length, 0);
    this.lengths[sequence] = Math.min(this.lengths[sequence]!, length);
  }

  /** Makes sure that a sequence has room for so many positions. */
  reserve(sequence: number, positions: number): void {
    checkInteger('KvCache: sequence', sequence, 0, this.sequences - 1);
    checkInteger('KvCache: positions', positions, 0, this.capacity);
  }

  /** Forgets a sequence, whose room another may use. */
  release(sequence: number): void {
    this.truncate(sequence, 0);
  }

  /** Frees the memory. */
  dispose(): void {
    this.tensor.dispose();
  }

  /** Calls {@link dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
