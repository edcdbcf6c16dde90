import type { ModelCache } from '../nn/model-cache';
import type { CachedRows } from '../nn/rows';
import { uploadTrees } from '../tensor/ops/attention/tree-rows';

/** The `count` positions that follow the committed ones in a cache of one sequence, as a forward pass takes them. */
export function nextPositions(cache: ModelCache, count: number): CachedRows {
  const length = cache.lengths[0]!;
  const parents = Int32Array.from({ length: count }, (_, i) => i - 1);
  return {
    kind: 'cached',
    cache,
    tree: uploadTrees(cache.kv.device, [{ parents, length }]),
    positions: cache.kv.device.tensor(Int32Array.from({ length: count }, (_, i) => length + i)),
  };
}
