import { noGrad } from '../lib/tensor/autograd';
import { embedding } from '../lib/tensor/ops/layers/embedding';
import { linear, packWeight } from '../lib/tensor/ops/linear/linear';
import { proposeTokens as propose } from '../lib/tensor/ops/sampling/propose-tokens';
import type { SamplingOptions } from '../lib/tensor/ops/sampling/sampling';
import { scope } from '../lib/tensor/scope';
import type { Tensor } from '../lib/tensor/tensor';
import {
  bytesOf,
  ceilings,
  duration,
  floorSeconds,
  indices,
  interleaved,
  randomTensor,
  sizeFor,
  time,
  type Bench,
  type Report,
  type Setup,
} from './harness';

const WAYS: Record<string, SamplingOptions> = { greedy: {}, temperature: { temperature: 0.8, seed: 1 } };

/** Measures the choice of drafts from rows of logits, against reading the logits once; and the draft step of one text. */
export const proposeTokens: Bench = {
  name: 'propose-tokens',
  async run(setup, report) {
    const { device } = setup;
    await draftSteps(setup, report);
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

/**
 * Measures one draft of a model with a large vocabulary: the product with the unembedding, then the choice of tokens, for all tokens
 * and for a draft vocabulary, a call of each in turn.
 */
async function draftSteps(setup: Setup, report: Report): Promise<void> {
  const { device, dtype } = setup;
  const large = { V: 151_936, D: 1024, drafts: 32_768 };
  const { V, D, drafts } = sizeFor(setup, { cpu: large, gpu: large, emulated: { V: 96, D: 32, drafts: 24 } });
  using weight = randomTensor(setup, [V, D], 1);
  using every = device.tensor(Int32Array.from({ length: drafts }, (_, i) => Math.floor((i * V) / drafts)));
  using hidden = randomTensor(setup, [1, D], 2);
  using positions = device.tensor(indices(1, 1000));
  using whole = packWeight(weight);
  using some = scope(() => packWeight(embedding(every, weight, dtype)));
  const rates = await ceilings(device);
  const step = (matrix: Tensor, sampling: SamplingOptions, ids?: Tensor) => (): void =>
    scope(() => {
      const logits = noGrad(() => linear(hidden, matrix, null, 'float32'));
      propose(logits, { positions, sampling, k: 8, ids });
    });
  const calls = sizeFor(setup, { cpu: 1, gpu: 20, emulated: 1 });
  for (const [way, sampling] of Object.entries(WAYS)) {
    const runs = [step(whole, sampling), step(some, sampling, every)];
    const samples = await interleaved(device, runs, { calls });
    for (const [i, tokens] of [V, drafts].entries()) {
      const floor = floorSeconds(rates, dtype, {
        flops: 2 * D * tokens,
        bytes: tokens * D * bytesOf(dtype),
      });
      report(
        duration(`propose-tokens/draft-step/${way}`, { rows: 1, V, D, tokens, k: 8 }, samples[i]!, floor),
      );
    }
  }
}
