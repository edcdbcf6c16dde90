import type { KvCache } from '../nn/kv-cache';
import type { CachedRows } from '../nn/rows';
import type { Device } from '../tensor/device';
import { uploadTrees } from '../tensor/ops/tree-rows';
import type { TreePlan } from './tree';

/** Rows that follow each other: `count` tokens behind what the cache holds of its one sequence. */
export function chainRows(cache: KvCache, count: number): CachedRows {
  const parents = Int32Array.from({ length: count }, (_, i) => i - 1);
  const depths = Int32Array.from({ length: count }, (_, i) => i);
  return cachedRows(cache, parents, depths);
}

/** The nodes of one tree, whose root follows what the cache holds of its one sequence. */
export function treeRows(cache: KvCache, plan: TreePlan): CachedRows {
  return cachedRows(cache, plan.parents, plan.depths);
}

function cachedRows(cache: KvCache, parents: Int32Array, depths: Int32Array): CachedRows {
  const { device } = cache;
  const length = cache.lengths[0]!;
  return {
    kind: 'cached',
    cache,
    tree: uploadTrees(device, [{ parents, length }]),
    positions: device.tensor(depths.map((depth) => length + depth)),
  };
}

/** One int32 on the device. */
export function oneIndex(device: Device, value: number): ReturnType<Device['tensor']> {
  return device.tensor(Int32Array.of(value));
}
