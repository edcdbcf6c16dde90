import { attention, treeAttention } from '../../../lib/tensor/ops/attention/attention';
import { kvAppend, kvCompact } from '../../../lib/tensor/ops/attention/kv-cache';
import { uploadTrees } from '../../../lib/tensor/ops/attention/tree-rows';
import { empty, testFamily, type Cases } from '../../support/zero-sizes';

const heads = { heads: 2, kvHeads: 1, headDim: 2, scale: 1 };

const operations: Cases = {
  attention: [
    [
      'of no rows',
      ({ floats, ints }) => {
        const qkv = floats(0, 8);
        return { results: [empty(attention(qkv, ints([0]), 3, heads), 0, 4)], gradients: [empty(qkv, 0, 8)] };
      },
    ],
  ],
  treeAttention: [
    [
      'of no rows',
      ({ device, floats }) => {
        const tree = uploadTrees(device, [{ parents: [], length: 2 }]);
        return {
          results: [empty(treeAttention(floats(1, 2, 1, 1, 4, 2), 0, floats(0, 8), tree, heads), 0, 4)],
        };
      },
    ],
  ],
  kvAppend: [
    [
      'of no rows changes nothing',
      ({ device, floats }) => {
        const cache = floats(1, 2, 1, 1, 2, 2);
        kvAppend(cache, 0, floats(0, 8), uploadTrees(device, [{ parents: [], length: 1 }]), 2);
        return { results: [[cache, [1, 2, 1, 1, 2, 2], [1, 2, 3, 4, 5, 6, 7, 8]]] };
      },
    ],
  ],
  kvCompact: [
    [
      'of no rows changes nothing',
      ({ device, floats, ints }) => {
        const cache = floats(1, 2, 1, 1, 2, 2);
        const { rowOffsets, lengths } = uploadTrees(device, [{ parents: [], length: 1 }]);
        kvCompact(cache, rowOffsets, lengths, ints([1, 0]), ints([1], 0));
        return { results: [[cache, [1, 2, 1, 1, 2, 2], [1, 2, 3, 4, 5, 6, 7, 8]]] };
      },
    ],
  ],
  uploadTrees: [
    [
      'none',
      ({ device }) => {
        const { rowOffsets, lengths, parents } = uploadTrees(device, []);
        return { results: [[rowOffsets, [1], [0]], empty(lengths, 0), empty(parents, 0)] };
      },
    ],
  ],
};

testFamily('attention', operations, ['treeHandles']);
