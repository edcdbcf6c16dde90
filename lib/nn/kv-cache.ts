import { check, checkInteger, checkOptions, integer, required, type Schema } from '../check';
import { ForetokenError } from '../errors';
import type { ActivationDType } from '../tensor/types';
import { activationDType, device as deviceChecker } from '../tensor/checks';
import type { Device } from '../tensor/device';
import { KvPages } from '../tensor/kv-pages';
import { kvCompact, type TreeRows } from '../tensor/ops/attention/kv-cache';
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
  /** The most positions of a sequence, the nodes of a tree included. Memory grows with `reserve`, whatever the capacity is. */
  capacity: number;
  /** Number of sequences that are decoded side by side, at most 65,536. Default 1. */
  sequences?: number;
  /** Type of keys and values, which must be that of the rows of qkv. Default float32. */
  dtype?: ActivationDType;
}

const KV_CACHE_OPTIONS: Schema<KvCacheOptions> = {
  layers: required(layerCount),
  kvHeads: required(size),
  headDim: required(size),
  capacity: required(size),
  sequences: integer(1, 65_536),
  dtype: activationDType,
};

/**
 * Keeps the keys and values of the committed positions of some sequences, with room after them for the nodes of one draft tree. Its
 * memory consists of pages of 64 positions, which `reserve` gives to a sequence and `release` takes back. Captures stay valid
 * meanwhile, because pages do not move.
 */
export class KvCache extends KvPages {
  /** Number of committed positions of each sequence. */
  readonly lengths: Int32Array;

  /**
   * @throws ForetokenError INVALID_ARGUMENT naming the option, what was given and what is allowed; OUT_OF_MEMORY; UNSUPPORTED for a
   * type that the device does not compute in, and inside a capture
   */
  constructor(device: Device, options: KvCacheOptions) {
    check('KvCache: device', device, deviceChecker);
    const checked = checkOptions('KvCache', options, KV_CACHE_OPTIONS);
    const { sequences = 1, dtype = 'float32' } = checked;
    super(device, { ...checked, sequences, dtype });
    this.lengths = new Int32Array(sequences);
  }

  /** Forgets the text of a sequence and returns its pages to the pool, for any sequence. */
  override release(sequence: number): void {
    super.release(sequence);
    this.lengths[sequence] = 0;
  }

  /**
   * Moves the keys and values of the accepted rows of a tree to the slots that plain decoding would have used. The caller calls
   * `advance` when the host knows the counts.
   * @param path int32 [sequences, stride]: accepted rows, root first, then -1
   * @param counts int32 [sequences]: number of accepted rows
   */
  compact(tree: TreeRows, path: Tensor, counts: Tensor): void {
    kvCompact(this, tree.rowOffsets, tree.lengths, path, counts);
  }

  /**
   * Commits the next rows of each sequence: those of a chain, or of a tree after `compact`.
   * @throws ForetokenError INVALID_ARGUMENT for more positions than are reserved
   */
  advance(accepted: ArrayLike<number>): void {
    for (let sequence = 0; sequence < this.sequences; sequence++) {
      checkInteger(`KvCache: accepted[${sequence}]`, accepted[sequence]!, 0);
      const length = this.lengths[sequence]! + accepted[sequence]!;
      if (length > this.reserved[sequence]!) {
        throw new ForetokenError(
          'INVALID_ARGUMENT',
          `KvCache: sequence ${sequence} would have ${length} positions, but ${this.reserved[sequence]} are reserved`,
        );
      }
      this.lengths[sequence] = length;
    }
  }

  /** Discards all positions from `length` on. Their pages stay reserved. */
  truncate(sequence: number, length: number): void {
    checkInteger('KvCache: sequence', sequence, 0, this.sequences - 1);
    checkInteger('KvCache: length', length, 0);
    this.lengths[sequence] = Math.min(this.lengths[sequence]!, length);
  }
}
