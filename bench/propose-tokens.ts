import { proposeTokens as propose } from '../lib/tensor/ops/sampling/propose-tokens';
import type { SamplingOptions } from '../lib/tensor/ops/sampling/sampling';
import { scope } from '../lib/tensor/scope';
import {
  ceilings,
  duration,
  floorSeconds,
  indices,
  randomTensor,
  sizeFor,
  time,
  type Bench,
} from './harness';

const WAYS: Record<string, SamplingOptions> = { greedy: {}, temperature: { temperature: 0.8, seed: 1 } };

/** Measures the choice of drafts from rows of logits, against reading the logits once. */
export const proposeTokens: Bench = {
  name: 'propose-tokens',
  async run(setup, report) {
    const { device } = setup;
    const { V } = sizeFor(setup, { cpu: { V: 152_064 }, gpu: { V: 152_064 }, emulated: { V: 96 } });
    for (const rows of [1, 4, 64]) {
      using logits = randomTensor(setup, [rows, V], 8).cast('float32');
      using positions = device.tensor(indices(rows, 1000));
      for (const [way, sampling] of Object.entries(WAYS)) {
        const rates = await ceilings(device);
        const calls = sizeFor(setup, { cpu: 1, gpu: 20, emulated: 1 });
        const samples = await time(
          device,
          () => scope(() => void propose(logits, { positions, sampling, k: 8 })),
          { calls },
        );
        const floor = floorSeconds(rates, 'float32', { flops: 0, bytes: 4 * rows * V });
        report(duration(`propose-tokens/${way}`, { rows, V, k: 8 }, samples, floor));
      }
    }
  },
};
