import type { Device } from '../../device';
import type { TreeRows } from './kv-cache';

/** One sequence's tree on the host. */
export interface HostTree {
  /** `[nodes]`: -1 for the root, which is node 0; otherwise an earlier node. */
  parents: ArrayLike<number>;
  /** Number of committed positions of the sequence, which is the position of the root. */
  length: number;
}

/** Uploads the trees of some sequences, one after another. */
export function uploadTrees(device: Device, trees: readonly HostTree[]): TreeRows {
  const rowOffsets = [0];
  const rowParents: number[] = [];
  for (const { parents } of trees) {
    const first = rowParents.length;
    for (const parent of Array.from(parents)) rowParents.push(parent < 0 ? parent : first + parent);
    rowOffsets.push(rowParents.length);
  }
  return {
    rowOffsets: device.tensor(Int32Array.from(rowOffsets)),
    lengths: device.tensor(Int32Array.from(trees, ({ length }) => length)),
    parents: device.tensor(Int32Array.from(rowParents)),
  };
}
