import { linear as apply, packWeight } from '../lib/tensor/ops/linear';
import { noGrad } from '../lib/tensor/autograd';
import { scope } from '../lib/tensor/scope';
import type { Tensor } from '../lib/tensor/tensor';
import {
  bytesOf,
  ceilings,
  floorSeconds,
  productRate,
  randomTensor,
  rate,
  sizeFor,
  time,
  type Bench,
} from './harness';

/** y = x Wᵀ by number of rows: a decoding step reads the weight once, training multiplies. */
export const linear: Bench = {
  name: 'linear',
  async run(setup, report) {
    const { device, dtype } = setup;
    const { n, k, decoding, training } = sizeFor(setup, {
      cpu: { n: 4096, k: 4096, decoding: [1, 8, 64], training: [512] },
      gpu: { n: 8192, k: 8192, decoding: [1, 8, 64], training: [512, 8192] },
      emulated: { n: 64, k: 64, decoding: [1, 8], training: [80] },
    });
    using weight = randomTensor(setup, [n, k], 0.02);
    // In turns, as the layers of a model are: all of them together lie beyond most caches.
    const packed = Array.from({ length: 4 }, () => packWeight(weight));
    for (const m of [...decoding, ...training]) {
      using x = randomTensor(setup, [m, k]);
      const work = { flops: 2 * m * n * k, bytes: bytesOf(dtype) * (n * k + m * (n + k)) };
      // A decoding step uses the packed weight; training, which changes it, the weight itself.
      let turn = 0;
      const operand = (): Tensor => (decoding.includes(m) ? packed[turn++ % packed.length]! : weight);
      const before = await ceilings(device);
      const samples = await time(device, () => noGrad(() => scope(() => void apply(x, operand()))));
      const after = await ceilings(device);
      const isBoundByMemory =
        work.bytes / before.readBytesPerSecond > work.flops / productRate(before, dtype);
      const floor = Math.min(floorSeconds(before, dtype, work), floorSeconds(after, dtype, work));
      const params = { m, n, k, dtype, bound: isBoundByMemory ? 'memory' : 'compute' };
      report(rate('linear/forward', params, 'flop/s', work.flops, samples, work.flops / floor));
    }
    for (const each of packed) each.dispose();
  },
};
