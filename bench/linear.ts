import { linear as apply, packWeight } from '../lib/tensor/ops/linear';
import { noGrad } from '../lib/tensor/autograd';
import { scope } from '../lib/tensor/scope';
import { ceilings, floorSeconds, numbers, rate, time, type Bench } from './harness';

/** y = x Wᵀ by number of rows: a decoding step reads the weight once, training multiplies. */
export const linear: Bench = {
  name: 'linear',
  async run(device, report) {
    const [n, k] = [4096, 4096];
    using weight = device.tensor(numbers(n * k, 0.02), [n, k]);
    using packed = packWeight(weight);
    for (const m of [1, 8, 64, 512]) {
      using x = device.tensor(numbers(m * k), [m, k]);
      const work = { flops: 2 * m * n * k, bytes: 4 * (n * k + m * (n + k)) };
      // A decoding step uses the packed weight; training, which changes it, the weight itself.
      const operand = m <= 64 ? packed : weight;
      const before = await ceilings(device);
      const samples = await time(device, () => noGrad(() => scope(() => void apply(x, operand))));
      const after = await ceilings(device);
      const bound =
        work.bytes / before.readBytesPerSecond > work.flops / before.flopsPerSecond ? 'memory' : 'compute';
      const rates = {
        flopsPerSecond: (before.flopsPerSecond + after.flopsPerSecond) / 2,
        readBytesPerSecond: (before.readBytesPerSecond + after.readBytesPerSecond) / 2,
      };
      const params = { m, n, k, bound };
      report(
        rate('linear/forward', params, 'flop/s', work.flops, samples, work.flops / floorSeconds(rates, work)),
      );
    }
  },
};
