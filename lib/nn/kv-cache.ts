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
  /** Positions each sequence has room for, the nodes of a tree included. */
  capacity: number;
  /** How many sequences are decoded side by side; default 1. */
  sequences?: number;
  /** Type of keys and values: that of the rows of qkv. Default float32. */
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

/**
 * Keys and values of the committed positions of some sequences, and room behind them for the nodes of one draft tree.
 */
export class KvCache implements Disposable {
  /** [layers, 2, sequences, kvHeads, capacity, headDim]. */
  readonly tensor: Tensor;
  /** Positions each sequence has room for. */
  readonly capacity: number;
  /** How many sequences are decoded side by side. */
  readonly sequences: number;
  /** Committed positions of each sequence. */
  readonly lengths: Int32Array;

  /** @throws ForetokenError INVALID_ARGUMENT naming the option, what was given and what is allowed; OUT_OF_MEMORY */
  constructor(
    /** Where the cache lies. */
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
   * Moves the keys and values of the accepted rows of a tree to where plain decoding would have put them. To be followed by
   * `advance` once the counts are known here.
   * @param path int32 [sequences, stride]: accepted rows, root first, -1 behind them
   * @param counts int32 [sequences]: how many
   */
  compact(tree: TreeRows, path: Tensor, counts: Tensor): void {
    kvCompact(this.tensor, tree.rowOffsets, tree.lengths, path, counts);
  }

  /** Commits rows that lie in place: those of a chain, or of a tree after `compact`. */
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

  /** Forgets all positions from `length` on. */
  truncate(sequence: number, length: number): void {
    checkInteger('KvCache: sequence', sequence, 0, this.sequences - 1);
    checkInteger('KvCache: length', length, 0);
    this.lengths[sequence] = Math.min(this.lengths[sequence]!, length);
  }

  /** Frees the memory. */
  dispose(): void {
    this.tensor.dispose();
  }

  /** What `using` calls: {@link dispose}. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
