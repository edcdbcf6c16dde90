import type { TreeRows } from '../tensor/ops/attention/kv-cache';
import type { Tensor } from '../tensor/tensor';
import type { KvCache } from './kv-cache';

/** Training rows: `batch` sequences of equal length, packed with documents. */
export interface TrainingRows {
  /** Tells the two kinds of rows apart. */
  readonly kind: 'packed';
  /** Number of sequences. */
  readonly batch: number;
  /** int32 [batch · length]: index in the row of the first token of each token's document. */
  readonly starts: Tensor;
  /** int32 [batch · length]: position of each token in its document. */
  readonly positions: Tensor;
}

/** Decoding rows: trees (a chain is one, too) that hang on what a cache holds. */
export interface CachedRows {
  /** Tells the two kinds of rows apart. */
  readonly kind: 'cached';
  /** Where their keys and values go. */
  readonly cache: KvCache;
  /** Which row hangs on which. */
  readonly tree: TreeRows;
  /** int32 [rows]: lengths + depth. */
  readonly positions: Tensor;
}

/** How the rows of one forward pass relate to each other: what attention may look at. */
export type Rows = TrainingRows | CachedRows;
