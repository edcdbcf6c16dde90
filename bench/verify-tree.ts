import { RankPathStatistics } from '../lib/decode/rank-path-statistics';
import { best, chain } from '../lib/decode/tree';
import { noGrad } from '../lib/tensor/autograd';
import { packWeight } from '../lib/tensor/ops/linear/linear';
import type { SamplingOptions } from '../lib/tensor/ops/sampling/sampling';
import { verifyTree as verify } from '../lib/tensor/ops/sampling/verify-tree';
import { scope } from '../lib/tensor/scope';
import {
  bytesOf,
  ceilings,
  duration,
  floorSeconds,
  indices,
  randomTensor,
  sizeFor,
  time,
  type Bench,
} from './harness';

const WAYS: Record<string, SamplingOptions> = {
  greedy: {},
  temperature: { temperature: 0.8, seed: 1 },
  'top-p': { temperature: 0.8, topP: 0.9, seed: 1 },
};

/** Measures unembedding, draws and walk of a tree, against reading the unembedding once or multiplying by it. */
export const verifyTree: Bench = {
  name: 'verify-tree',
  async run(setup, report) {
    const { device, dtype } = setup;
    const { d, V } = sizeFor(setup, {
      cpu: { d: 512, V: 32000 },
      gpu: { d: 4096, V: 152064 },
      emulated: { d: 16, V: 96 },
    });
    using weight = randomTensor(setup, [V, d], 0.05, 2);
    using packed = packWeight(weight);
    for (const nodes of [1, 8, 64]) {
      const plan = nodes === 1 ? chain(0) : best(nodes - 1, new RankPathStatistics(4));
      using hidden = randomTensor(setup, [nodes, d]);
      using tokens = device.tensor(indices(nodes, V));
      using rowOffsets = device.tensor(Int32Array.of(0, nodes));
      using lengths = device.tensor(Int32Array.of(100));
      using parents = device.tensor(plan.parents);
      const tree = { rowOffsets, lengths, parents };
      for (const [way, sampling] of Object.entries(WAYS)) {
        const rates = await ceilings(device);
        const calls = sizeFor(setup, { cpu: 1, gpu: 20, emulated: 1 });
        const samples = await time(
          device,
          () => noGrad(() => scope(() => void verify({ hidden, weight: packed, tokens, tree, sampling }))),
          { calls },
        );
        const floor = floorSeconds(rates, dtype, { flops: 2 * nodes * V * d, bytes: bytesOf(dtype) * V * d });
        report(duration(`verify-tree/${way}`, { nodes, V, d, dtype }, samples, floor));
      }
    }
  },
};
