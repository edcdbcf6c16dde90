import { noGrad } from '../lib/tensor/autograd';
import { linearCrossEntropy as loss } from '../lib/tensor/ops/loss/linear-cross-entropy';
import { scope } from '../lib/tensor/scope';
import type { Tensor } from '../lib/tensor/tensor';
import {
  ceilings,
  indices,
  productRate,
  randomTensor,
  rate,
  sizeFor,
  time,
  type Bench,
  type Report,
  type Result,
  type Setup,
} from './harness';

/** Measures the fused loss by number of heads: speed as a share of the product rate, and scratch, which must not grow. */
export const linearCrossEntropy: Bench = {
  name: 'linear-cross-entropy',
  async run(setup, report) {
    const { device, dtype } = setup;
    const { T, d, V, budget } = sizeFor(setup, {
      cpu: { T: 512, d: 512, V: 32000, budget: 64 * 2 ** 20 },
      gpu: { T: 8192, d: 4096, V: 128256, budget: 1.1e9 },
      emulated: { T: 8, d: 16, V: 96, budget: 2 ** 20 },
    });
    using weight = randomTensor(setup, [V, d], 0.05, 2).requireGrad();
    for (const n of [1, 2, 4, 8]) {
      const rows = n * T;
      using hidden = randomTensor(setup, [rows, d]).requireGrad();
      using targets = device.tensor(indices(rows, V));
      const params = { n, T, d, V, dtype };
      const forward = (): void => noGrad(() => scope(() => void loss(hidden, weight, targets, { heads: n })));
      // This call computes the gradients; backward would only pass them on.
      const both = (): void => scope(() => void loss(hidden, weight, targets, { heads: n }));
      const product = 2 * rows * V * d;
      await measure(setup, report, 'loss', params, product, forward);
      await measure(setup, report, 'loss-and-grad', params, 3 * product, both);
      report(await scratch(setup, params, { weight, hidden }, budget, both));
    }
  },
};

async function measure(
  { device, dtype }: Setup,
  report: Report,
  name: string,
  params: Record<string, number | string>,
  flops: number,
  work: () => void,
): Promise<void> {
  const before = await ceilings(device);
  const samples = await time(device, work, { repeats: 5, seconds: 2 });
  const after = await ceilings(device);
  const ceiling = (productRate(before, dtype) + productRate(after, dtype)) / 2;
  report(rate(`linear-cross-entropy/${name}`, params, 'flop/s', flops, samples, ceiling));
}

/** Measures bytes beyond inputs and gradients, against the budget for any number of heads. */
async function scratch(
  { device }: Setup,
  params: Record<string, number | string>,
  { weight, hidden }: Record<'weight' | 'hidden', Tensor>,
  budget: number,
  work: () => void,
): Promise<Result> {
  await device.synchronize();
  device.resetPeak();
  const { live } = device.memory();
  work();
  await device.synchronize();
  // Both are leaves, whose gradients are float32.
  const gradients = 4 * (weight.size + hidden.size);
  const bytes = device.memory().peak - live - gradients;
  const name = 'linear-cross-entropy/scratch';
  return { name, params, unit: 'byte', median: bytes, spread: 0, ceiling: budget, fraction: bytes / budget };
}
