import { noGrad } from '../lib/tensor/autograd';
import type { Device } from '../lib/tensor/device';
import { linearCrossEntropy as loss } from '../lib/tensor/ops/linear-cross-entropy';
import { scope } from '../lib/tensor/scope';
import type { Tensor } from '../lib/tensor/tensor';
import { ceilings, indices, numbers, rate, time, type Bench, type Report } from './harness';

const [T, D, V] = [512, 512, 32000];

/** The fused loss by number of heads: speed as a share of the multiply-add ceiling, and scratch, which must not grow. */
export const linearCrossEntropy: Bench = {
  name: 'linear-cross-entropy',
  async run(device, report) {
    using weight = device.tensor(numbers(V * D, 0.05), [V, D]).requireGrad();
    for (const n of [1, 2, 4, 8]) {
      const rows = n * T;
      using hidden = device.tensor(numbers(rows * D), [rows, D]).requireGrad();
      using targets = device.tensor(indices(rows, V));
      const params = { n, T, d: D, V };
      const forward = (): void => noGrad(() => scope(() => void loss(hidden, weight, targets, { heads: n })));
      // The gradients are made by this very call; backward would only hand them on.
      const both = (): void => scope(() => void loss(hidden, weight, targets, { heads: n }));
      const product = 2 * rows * V * D;
      await measure(device, report, 'loss', params, product, forward);
      await measure(device, report, 'loss-and-grad', params, 3 * product, both);
      report(await scratch(device, params, hidden, both));
    }
  },
};

async function measure(
  device: Device,
  report: Report,
  name: string,
  params: Record<string, number>,
  flops: number,
  work: () => void,
): Promise<void> {
  const before = await ceilings(device);
  const samples = await time(device, work, { repeats: 5, seconds: 2 });
  const after = await ceilings(device);
  const ceiling = (before.flopsPerSecond + after.flopsPerSecond) / 2;
  report(rate(`linear-cross-entropy/${name}`, params, 'flop/s', flops, samples, ceiling));
}

/** Bytes beyond inputs and gradients. */
async function scratch(device: Device, params: Record<string, number>, hidden: Tensor, work: () => void) {
  await device.synchronize();
  device.resetPeak();
  const { live } = device.memory();
  work();
  await device.synchronize();
  const gradients = 4 * (V * D + hidden.size);
  const bytes = device.memory().peak - live - gradients;
  const ceiling = 64 * 2 ** 20;
  const name = 'linear-cross-entropy/scratch';
  return { name, params, unit: 'byte', median: bytes, spread: 0, ceiling, fraction: bytes / ceiling };
}
