import { native } from '../../../lib/native/load';
import { KvCache } from '../../../lib/nn/kv-cache';
import { attention, treeAttention } from '../../../lib/tensor/ops/attention/attention';
import { kvAppend, kvCompact } from '../../../lib/tensor/ops/attention/kv-cache';
import { uploadTrees } from '../../../lib/tensor/ops/attention/tree-rows';
import { Tensor } from '../../../lib/tensor/tensor';
import { PAGE } from '../../support/decoding-cache';
import { empty, testFamily, type Cases, type Make } from '../../support/zero-sizes';

const heads = { heads: 2, kvHeads: 1, headDim: 2, scale: 1 };

/** A cache with one page, which holds 1, 2, 3, …, and that page. */
function filledCache({ device, floats }: Make): { cache: KvCache; page: Tensor } {
  const contents = floats(1, 2, 1, PAGE, 2);
  const options = { layers: 1, kvHeads: 1, headDim: 2, capacity: PAGE };
  const cache = new KvCache(device, { ...options, dtype: contents.dtype as 'float32' | 'bfloat16' });
  cache.reserve(0, PAGE);
  const page = new Tensor(device, native.kvPage(cache.handle, 0, 0));
  return { cache, page: page.copyFrom(contents) };
}

const counted = Array.from({ length: 4 * PAGE }, (_, i) => i + 1);

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
      (make) => {
        const { cache } = filledCache(make);
        const tree = uploadTrees(make.device, [{ parents: [], length: 2 }]);
        return { results: [empty(treeAttention(cache, 0, make.floats(0, 8), tree, heads), 0, 4)] };
      },
    ],
  ],
  kvAppend: [
    [
      'of no rows changes nothing',
      (make) => {
        const { cache, page } = filledCache(make);
        kvAppend(cache, 0, make.floats(0, 8), uploadTrees(make.device, [{ parents: [], length: 1 }]), 2);
        return { results: [[page, [1, 2, 1, PAGE, 2], counted]] };
      },
    ],
  ],
  kvCompact: [
    [
      'of no rows changes nothing',
      (make) => {
        const { cache, page } = filledCache(make);
        const { rowOffsets, lengths } = uploadTrees(make.device, [{ parents: [], length: 1 }]);
        kvCompact(cache, rowOffsets, lengths, make.ints([1, 0]), make.ints([1], 0));
        return { results: [[page, [1, 2, 1, PAGE, 2], counted]] };
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

testFamily('attention', operations, ['cacheHandle', 'treeHandles']);
