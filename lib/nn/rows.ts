import type { TreeRows } from '../tensor/ops/attention/kv-cache';
import type { Tensor } from '../tensor/tensor';
import type { ModelCache } from './model-cache';

/** Training rows: `batch` sequences of equal length, packed with documents. */
export interface TrainingRows {
  /** Distinguishes the two kinds of rows. */
  readonly kind: 'packed';
  /** Number of sequences. */
  readonly batch: number;
  /** int32 [batch · length]: index in the row of the first token of each token's document. */
  readonly starts: Tensor;
  /** int32 [batch · length]: position of each token in its document. */
  readonly positions: Tensor;
}

/** Decoding rows: trees (a chain is a tree, too) below the committed positions of a cache. */
export interface CachedRows {
  /** Distinguishes the two kinds of rows. */
  readonly kind: 'cached';
  /** Keys, values and states after the committed positions. */
  readonly cache: ModelCache;
  /** The parent of each row. */
  readonly tree: TreeRows;
  /** int32 [rows]: lengths + depth. */
  readonly positions: Tensor;
}

/** How the rows of one forward pass relate to each other, which decides what attention may read. */
export type Rows = TrainingRows | CachedRows;
