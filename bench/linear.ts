import { linear as apply, packWeight } from '../lib/tensor/ops/linear';
import { noGrad } from '../lib/tensor/autograd';
import { scope } from '../lib/tensor/scope';
import type { Tensor } from '../lib/tensor/tensor';
import { ceilings, floorSeconds, numbers, rate, time, type Bench } from './harness';

/** y = x Wᵀ by number of rows: a decoding step reads the weight once, training multiplies. */
export const linear: Bench = {
  name: 'linear',
  async run(device, report) {
    const [n, k] = [4096, 4096];
    using weight = device.tensor(numbers(n * k, 0.02), [n, k]);
    // In turns, as the layers of a model are: 256 MB, what the read ceiling is measured on, lie beyond most caches.
    const packed = Array.from({ length: 4 }, () => packWeight(weight));
    for (const m of [1, 8, 64, 512]) {
      using x = device.tensor(numbers(m * k), [m, k]);
      const work = { flops: 2 * m * n * k, bytes: 4 * (n * k + m * (n + k)) };
      // A decoding step uses the packed weight; training, which changes it, the weight itself.
      let turn = 0;
      const operand = (): Tensor => (m <= 64 ? packed[turn++ % packed.length]! : weight);
      const before = await ceilings(device);
      const samples = await time(device, () => noGrad(() => scope(() => void apply(x, operand()))));
      const after = await ceilings(device);
      const bound =
        work.bytes / before.readBytesPerSecond > work.flops / before.flopsPerSecond ? 'memory' : 'compute';
      const rates = {
        flopsPerSecond: Math.max(before.flopsPerSecond, after.flopsPerSecond),
        readBytesPerSecond: Math.max(before.readBytesPerSecond, after.readBytesPerSecond),
      };
      const params = { m, n, k, bound };
      report(
        rate('linear/forward', params, 'flop/s', work.flops, samples, work.flops / floorSeconds(rates, work)),
      );
    }
    for (const each of packed) each.dispose();
  },
};
