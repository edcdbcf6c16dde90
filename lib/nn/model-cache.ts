import { checkInteger } from '../check';
import type { TreeRows } from '../tensor/ops/attention/kv-cache';
import type { Device } from '../tensor/device';
import type { RecurrentStatesOptions } from '../tensor/recurrent-states';
import type { Tensor } from '../tensor/tensor';
import { KvCache, type KvCacheOptions } from './kv-cache';
import { RecurrentCache } from './recurrent-cache';

/** Sizes of a {@link ModelCache}: those of its layers with attention, and of its recurrent layers. */
export interface ModelCacheOptions extends KvCacheOptions {
  /** Sizes of the recurrent layers; null for a model without any. */
  readonly recurrent: Omit<RecurrentStatesOptions, 'sequences'> | null;
}

/**
 * Keeps the keys and values of a model's layers with attention, and the states of its recurrent layers, after the committed positions
 * of some texts. Layers are numbered among those of their kind.
 */
export class ModelCache implements Disposable {
  /** Keys and values of the layers with attention. */
  readonly kv: KvCache;
  /** States of the recurrent layers; null without any. */
  readonly recurrent: RecurrentCache | null;

  /**
   * @throws ForetokenError as {@link KvCache} does, and INVALID_ARGUMENT for sizes of recurrent layers that the kernels do not have
   */
  constructor(device: Device, { recurrent, ...options }: ModelCacheOptions) {
    this.kv = new KvCache(device, options);
    try {
      this.recurrent = recurrent && new RecurrentCache(device, recurrent, this.kv.sequences);
    } catch (error) {
      this.kv.dispose();
      throw error;
    }
  }

  /** Number of committed positions of each sequence. */
  get lengths(): Int32Array {
    return this.kv.lengths;
  }

  /**
   * Makes sure that a sequence has memory for `positions` positions, the nodes of the next tree included.
   * @throws ForetokenError OUT_OF_MEMORY; the text is then unchanged. UNSUPPORTED inside a capture
   */
  reserve(sequence: number, positions: number): void {
    this.kv.reserve(sequence, positions);
    this.recurrent?.reserve(sequence);
  }

  /** Forgets the text of a sequence. */
  release(sequence: number): void {
    this.kv.release(sequence);
    this.recurrent?.release(sequence);
  }

  /**
   * Gives the cache the contents that it would have if the accepted rows of a forward pass had been read one after another. The
   * caller calls `advance` when the host knows the counts.
   * @param path int32 [sequences, stride]: accepted rows, root first, then -1
   * @param counts int32 [sequences]: number of accepted rows
   * @param take takes the rows of `tree` from those of the forward pass, if these are others
   */
  commit(tree: TreeRows, path: Tensor, counts: Tensor, take?: (rows: Tensor) => Tensor): void {
    this.kv.compact(tree, path, counts);
    this.recurrent?.update(tree, path, counts, take);
  }

  /**
   * Ends a step: counts the rows that `commit` accepted.
   * @throws ForetokenError INVALID_ARGUMENT for more positions than are reserved
   */
  advance(accepted: ArrayLike<number>): void {
    this.kv.advance(accepted);
    this.recurrent?.settle();
  }

  /** Saves the state of a sequence at its present length, in place of the one saved before, for {@link restore}. */
  save(sequence: number): void {
    checkInteger('ModelCache: sequence', sequence, 0, this.kv.sequences - 1);
    this.recurrent?.save(sequence, this.lengths[sequence]!);
  }

  /**
   * Discards the positions of a sequence from `length` on. A model with recurrent layers can go back to the beginning and to where its
   * state was saved.
   * @throws ForetokenError INVALID_ARGUMENT for a length beyond the present one, or at which no state was saved
   */
  restore(sequence: number, length: number): void {
    checkInteger('ModelCache: sequence', sequence, 0, this.kv.sequences - 1);
    checkInteger('ModelCache: length', length, 0, this.lengths[sequence]);
    if (length === this.lengths[sequence]) return;
    this.recurrent?.restore(sequence, length);
    this.kv.truncate(sequence, length);
  }

  /** Frees the memory; captures that use it keep it until they are disposed of. */
  dispose(): void {
    this.kv.dispose();
    this.recurrent?.dispose();
  }

  /** Calls {@link dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
