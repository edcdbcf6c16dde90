import { RankPathStatistics } from '../lib/decode/rank-path-statistics';
import { best, chain } from '../lib/decode/tree';
import { noGrad } from '../lib/tensor/autograd';
import { packWeight } from '../lib/tensor/ops/linear';
import type { SamplingOptions } from '../lib/tensor/ops/sampling';
import { verifyTree as verify } from '../lib/tensor/ops/verify-tree';
import { scope } from '../lib/tensor/scope';
import { ceilings, floorSeconds, indices, median, numbers, spread, time, type Bench } from './harness';

const [D, V] = [512, 32000];
const WAYS: Record<string, SamplingOptions> = {
  greedy: {},
  temperature: { temperature: 0.8, seed: 1 },
  'top-p': { temperature: 0.8, topP: 0.9, seed: 1 },
};

/** Unembedding, draws and walk of a tree, against reading the unembedding once or multiplying with it. */
export const verifyTree: Bench = {
  name: 'verify-tree',
  async run(device, report) {
    using weight = device.tensor(numbers(V * D, 0.05), [V, D]);
    using packed = packWeight(weight);
    for (const nodes of [1, 8, 64]) {
      const plan = nodes === 1 ? chain(0) : best(nodes - 1, new RankPathStatistics(4));
      using hidden = device.tensor(numbers(nodes * D), [nodes, D]);
      using tokens = device.tensor(indices(nodes, V));
      using rowOffsets = device.tensor(Int32Array.of(0, nodes));
      using lengths = device.tensor(Int32Array.of(100));
      using parents = device.tensor(plan.parents);
      const tree = { rowOffsets, lengths, parents };
      for (const [way, sampling] of Object.entries(WAYS)) {
        const rates = await ceilings(device);
        const samples = await time(device, () =>
          noGrad(() => scope(() => void verify({ hidden, weight: packed, tokens, tree, sampling }))),
        );
        const floor = floorSeconds(rates, { flops: 2 * nodes * V * D, bytes: 4 * V * D });
        report({
          name: `verify-tree/${way}`,
          params: { nodes, V, d: D },
          unit: 's',
          median: median(samples),
          spread: spread(samples),
          ceiling: floor,
          fraction: floor / median(samples),
        });
      }
    }
  },
};
