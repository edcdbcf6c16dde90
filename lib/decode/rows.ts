import type { KvCache } from '../nn/kv-cache';
import type { CachedRows } from '../nn/rows';
import { uploadTrees } from '../tensor/ops/attention/tree-rows';

/** Rows that follow each other: `count` tokens behind what the cache holds of its one sequence. */
export function chainRows(cache: KvCache, count: number): CachedRows {
  const { device } = cache;
  const length = cache.lengths[0]!;
  const parents = Int32Array.from({ length: count }, (_, i) => i - 1);
  return {
    kind: 'cached',
    cache,
    tree: uploadTrees(device, [{ parents, length }]),
    positions: device.tensor(Int32Array.from({ length: count }, (_, i) => length + i)),
  };
}
