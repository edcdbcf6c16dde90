import { linear as apply, packWeight } from '../lib/tensor/ops/linear/linear';
import { noGrad } from '../lib/tensor/autograd';
import { scope } from '../lib/tensor/scope';
import type { WeightDType, DotDType } from '../lib/native/binding';
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

/** Measures y = x Wᵀ by number of rows: memory limits the few rows of a decoding step, arithmetic the many of training. */
export const linear: Bench = {
  name: 'linear',
  async run(setup, report) {
    const { device, dtype } = setup;
    const { n, k, decoding, training } = sizeFor(setup, {
      cpu: { n: 4096, k: 4096, decoding: [1, 8, 64], training: [512] },
      gpu: { n: 8192, k: 8192, decoding: [1, 8, 64], training: [512, 8192] },
      emulated: { n: 64, k: 64, decoding: [1, 8], training: [80] },
    });
    using weight = randomTensor(setup, [n, k], 0.02, 2);
    const run = async (m: number, stored: WeightDType, operand: () => Tensor): Promise<void> => {
      using x = randomTensor(setup, [m, k]);
      const bytes = bytesOf(stored) * n * k + bytesOf(dtype) * m * (n + k);
      const work = { flops: 2 * m * n * k, bytes };
      const before = await ceilings(device);
      const calls = sizeFor(setup, { cpu: 1, gpu: 20, emulated: 1 });
      const samples = await time(device, () => noGrad(() => scope(() => void apply(x, operand()))), {
        calls,
      });
      const after = await ceilings(device);
      const isBoundByMemory =
        work.bytes / before.readBytesPerSecond > work.flops / productRate(before, stored);
      const floor = Math.min(floorSeconds(before, stored, work), floorSeconds(after, stored, work));
      const params = { m, n, k, dtype, weight: stored, bound: isBoundByMemory ? 'memory' : 'compute' };
      report(rate('linear/forward', params, 'flop/s', work.flops, samples, work.flops / floor));
    };
    // A decoding step uses packed weights; training uses the weight itself, because it changes.
    for (const stored of device.packs('int8') ? (['float32', 'bfloat16', 'int8'] as const) : [dtype]) {
      const pack = (): Tensor => {
        return packWeight(weight, device.packs(stored) ? (stored as DotDType) : undefined);
      };
      // Rotates through several weights, like the layers of a model; together they exceed most caches.
      const packed = Array.from({ length: 4 }, pack);
      let turn = 0;
      for (const m of decoding) await run(m, stored, () => packed[turn++ % packed.length]!);
      for (const each of packed) each.dispose();
    }
    for (const m of training) await run(m, dtype, () => weight);
  },
};
