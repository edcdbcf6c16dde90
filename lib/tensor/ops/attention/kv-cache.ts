import type { KvCacheHandle, TensorHandle } from '../../../native/binding';
import { native } from '../../../native/load';
import { check, checker, object, type Checker, type Schema } from '../../../check';
import { handleOf, tensors } from '../../checks';
import { KvPages } from '../../kv-pages';
import type { Tensor } from '../../tensor';

/**
 * The rows of draft trees in one forward pass, one sequence after another; all int32. A row's keys and values lie in slot
 * lengths + (row − first row) of its sequence, and its position is lengths + depth.
 */
export interface TreeRows {
  /**
   * `[sequences + 1]`: first row of each sequence, then the number of rows of all. Rows after these are padding: no operation reads
   * their parents and tokens or writes them to the cache, and their attention is zero.
   */
  rowOffsets: Tensor;
  /** `[sequences]`: committed positions of each sequence in the cache. */
  lengths: Tensor;
  /** `[rows]`: the parent of each row, an earlier row; −1 if the parent is the last committed position. */
  parents: Tensor;
}

export const TREE_ROWS: Schema<TreeRows> = tensors('rowOffsets', 'lengths', 'parents');

const TREE = object(TREE_ROWS);

/** Checks the trees of a function and returns their handles. */
export function treeHandles(where: string, tree: TreeRows): [TensorHandle, TensorHandle, TensorHandle] {
  const { rowOffsets, lengths, parents } = check(`${where}: tree`, tree, TREE);
  return [rowOffsets.handle, lengths.handle, parents.handle];
}

const CACHE: Checker<KvPages> = checker('a KvCache', (value) => KvPages.isKvPages(value));

/** Checks the cache of a function and returns its handle. */
export function cacheHandle(where: string, cache: KvPages): KvCacheHandle {
  return check(`${where}: cache`, cache, CACHE).handle;
}

/**
 * Writes the keys and values of each row into its slot of one layer of the cache.
 * @param cache a KvCache that has reserved the slots
 * @param qkv [rows, (heads + 2 · kvHeads) · headDim], of the dtype of the cache
 * @param heads query heads of a row
 */
export function kvAppend(cache: KvPages, layer: number, qkv: Tensor, tree: TreeRows, heads: number): void {
  native.kvAppend(
    cacheHandle('kvAppend', cache),
    layer,
    handleOf(qkv),
    heads,
    ...treeHandles('kvAppend', tree),
  );
}

/**
 * Moves the keys and values of accepted rows, in every layer, to the slots that plain decoding would have used.
 * @param cache a KvCache
 * @param rowOffsets as in {@link TreeRows}
 * @param lengths as in {@link TreeRows}: before this step's rows are committed
 * @param path int32 [sequences, stride]: accepted rows, root first, then −1
 * @param counts int32 [sequences]: number of accepted rows
 */
export function kvCompact(
  cache: KvPages,
  rowOffsets: Tensor,
  lengths: Tensor,
  path: Tensor,
  counts: Tensor,
): void {
  native.kvCompact(
    ...[cacheHandle('kvCompact', cache), handleOf(rowOffsets), handleOf(lengths)],
    ...[handleOf(path), handleOf(counts)],
  );
}
