import {
  adamw,
  clipCoefficient,
  sumSquares,
  type AdamwOptions,
} from '../../../lib/tensor/ops/optimizer/optimizer';
import type { Tensor } from '../../../lib/tensor/tensor';
import { expectSameBits, expectWithinRoundings } from '../../support/accuracy';
import { onCpu } from '../../support/cpu';
import { isEmulated, onAllVariants, targets } from '../../support/devices';
import { foretokenError } from '../../support/errors';
import { nearest } from '../../support/half';
import { Random } from '../../support/random';

const counts = [1, 3, 7, 31, 47, 257, 40_001];
const random = new Random(51);
const defaults: AdamwOptions = { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.01, step: 1 };

/** torch.optim.AdamW's single-tensor update, in float64. */
class Oracle {
  readonly m: Float64Array;
  readonly v: Float64Array;

  constructor(readonly param: Float64Array) {
    this.m = new Float64Array(param.length);
    this.v = new Float64Array(param.length);
  }

  step(grad: Float32Array, scale: number, options: AdamwOptions): void {
    const { lr, beta1, beta2, eps, weightDecay, step } = options;
    for (let i = 0; i < grad.length; i++) {
      const g = grad[i]! * scale;
      this.param[i]! *= 1 - lr * weightDecay;
      this.m[i] = beta1 * this.m[i]! + (1 - beta1) * g;
      this.v[i] = beta2 * this.v[i]! + (1 - beta2) * g * g;
      const denominator = Math.sqrt(this.v[i]!) / Math.sqrt(1 - beta2 ** step) + eps;
      this.param[i]! -= ((lr / (1 - beta1 ** step)) * this.m[i]!) / denominator;
    }
  }
}

describe.each(targets)('%s', (target) => {
  test.each(counts)('sum of squares of %i', async (count) => {
    const x = random.floats(count, 100);
    const [sum] = await onAllVariants(target, (device) => [sumSquares(device.tensor(x))]);
    // The sum is exact to float64, so the only error is the rounding of the result.
    expectWithinRoundings(sum!, [x.reduce((total, value) => total + value * value, 0)], 1.01);
  });

  test('an empty tensor has the sum 0, and a large sum of small numbers stays exact', async () => {
    const count = isEmulated(target) ? 1_100_000 : 3_000_000;
    const [none, sum] = await onAllVariants(target, (device) => [
      sumSquares(device.empty([0])),
      sumSquares(device.empty([count]).fill(0.1)),
    ]);
    expect([...none!]).toEqual([0]);
    expectWithinRoundings(sum!, [count * Math.fround(0.1) ** 2], 1.01);
  });

  test('squares are not rounded before they are added', async () => {
    // Find the number above 1, and the count of it, with which a rounded square changes the sum most.
    let [worst, times, most] = [1, 1, 0];
    for (let i = 1; i < 200; i++) {
      const x = 1 + i * 2 ** -20;
      for (let count = 1000; count < 2000; count++) {
        const off = Math.abs(Math.fround(count * Math.fround(x * x)) / (count * x * x) - 1);
        if (off > most) [worst, times, most] = [x, count, off];
      }
    }
    expect(most).toBeGreaterThan(1.5 * 2 ** -24);
    const [sum] = await onAllVariants(target, (device) => [sumSquares(device.empty([times]).fill(worst))]);
    expectWithinRoundings(sum!, [times * worst ** 2], 1.01);
  });

  test.each([
    { squares: [9, 16], maxNorm: 1, norm: 5, coefficient: 1 / (5 + 1e-6) },
    { squares: [9, 16], maxNorm: 10, norm: 5, coefficient: 1 },
    { squares: [9, 16], maxNorm: 0, norm: 5, coefficient: 1 },
    { squares: [0], maxNorm: 1, norm: 0, coefficient: 1 },
    { squares: [Infinity], maxNorm: 1, norm: Infinity, coefficient: NaN },
    { squares: [Infinity], maxNorm: 0, norm: Infinity, coefficient: NaN },
    { squares: [1, NaN], maxNorm: 1, norm: NaN, coefficient: NaN },
    { squares: [1, NaN], maxNorm: 0, norm: NaN, coefficient: NaN },
  ])('clipping $squares to $maxNorm', async ({ squares, maxNorm, norm, coefficient }) => {
    const results = await onAllVariants(target, (device) => {
      const clip = clipCoefficient(device.tensor(Float32Array.from(squares)), maxNorm);
      return [clip.norm, clip.coefficient];
    });
    expect(results.map((result) => [...result])).toEqual([[Math.fround(norm)], [Math.fround(coefficient)]]);
  });

  test.each(counts)('AdamW on %i parameters over three steps', async (count) => {
    const start = random.floats(count);
    const gradients = [1e-6, 1, 1e4].map((size) => random.floats(count, size));
    const variants: Partial<AdamwOptions>[] = [{}, { weightDecay: 0.3, beta2: 0.95, eps: 1e-5 }];
    for (const variant of variants) {
      const options = { ...defaults, ...variant };
      const results = await onAllVariants(target, (device) => {
        const [param, m, v] = [device.tensor(start), device.zeros([count]), device.zeros([count])];
        const scale = device.tensor(Float32Array.of(0.25));
        gradients.forEach((grad, i) => {
          adamw(param, device.tensor(grad), m, v, i === 1 ? scale : undefined, { ...options, step: i + 1 });
        });
        return [param, m, v];
      });
      const oracle = new Oracle(Float64Array.from(start));
      gradients.forEach((grad, i) => oracle.step(grad, i === 1 ? 0.25 : 1, { ...options, step: i + 1 }));
      // Every step moves a parameter by about lr at most; slightly more while the denominator lags behind.
      expectWithinRoundings(
        results[0]!,
        oracle.param,
        8,
        start.map((value) => Math.abs(value) + 4 * options.lr),
      );
      const largest = gradients.map((grad) =>
        grad.reduce((most, value) => Math.max(most, Math.abs(value)), 0),
      );
      const size = Math.max(largest[1]! * 0.25, largest[2]!);
      expectWithinRoundings(results[1]!, oracle.m, 4, new Float64Array(count).fill(size / 5));
      expectWithinRoundings(results[2]!, oracle.v, 6);
    }
  });

  test('parts of a bucket may start at any element, and the elements around them do not change', async () => {
    const [count, room] = [70, 90];
    const values = [0, 1, 2, 3].map(() => random.floats(room).map(Math.abs));
    const results = await onAllVariants(target, (device) =>
      [0, 1, 2, 4, 7].flatMap((from) => {
        const whole = values.map((all) => device.tensor(all));
        const [p, g, m, v] = whole.map((tensor) => tensor.view(from, [count]));
        const squares = sumSquares(p!);
        adamw(p!, g!, m!, v!, undefined, defaults);
        return [squares, whole[0]!, whole[2]!, whole[3]!];
      }),
    );
    for (const [i, from] of [0, 1, 2, 4, 7].entries()) {
      const [squares, ...updated] = results.slice(4 * i, 4 * i + 4);
      const part = values.map((all) => all.slice(from, from + count));
      const expected = await onAllVariants(target, (device) => {
        const [p, g, m, v] = part.map((all) => device.tensor(all));
        const sum = sumSquares(p!);
        adamw(p!, g!, m!, v!, undefined, defaults);
        return [sum, p!, m!, v!];
      });
      expectSameBits(squares!, expected[0]!);
      for (const [j, all] of updated.entries()) {
        const whole = values[[0, 2, 3][j]!]!.slice();
        whole.set(expected[j + 1]!, from);
        expectSameBits(all, whole);
      }
    }
  });

  test('a first step moves every parameter by the learning rate, against its gradient', async () => {
    const grad = Float32Array.of(1e-3, -5, 300, -1e-6);
    const [param] = await onAllVariants(target, (device) => {
      const [p, m, v] = [0, 1, 2].map(() => device.zeros([4]));
      adamw(p!, device.tensor(grad), m!, v!, undefined, { ...defaults, lr: 0.5, eps: 1e-12 });
      return [p!];
    });
    expectWithinRoundings(param!, [-0.5, 0.5, -0.5, 0.5], 40);
  });

  test.each(counts)('%i updated parameters, rounded to bfloat16', async (count) => {
    const [start, grad] = [random.floats(count), random.floats(count)];
    const [param, rounded] = await onAllVariants(target, (device) => {
      const [p, m, v] = [device.tensor(start), device.zeros([count]), device.zeros([count])];
      const copy = device.empty([count], 'bfloat16');
      adamw(p, device.tensor(grad), m, v, undefined, { ...defaults, lr: 0.1 }, copy);
      return [p, copy.cast('float32')];
    });
    expectSameBits(
      rounded!,
      param!.map((value) => nearest(value, 'bfloat16')),
    );
  });

  test.each(counts)('a scale of NaN leaves %i parameters and their moments unchanged', async (count) => {
    const start = [0, 1, 2].map(() => random.floats(count).map(Math.abs));
    const results = await onAllVariants(target, (device) => {
      const [p, m, v] = start.map((values) => device.tensor(values));
      const rounded = device.empty([count], 'bfloat16').fill(1);
      const grad = device.tensor(random.floats(count).fill(Infinity, count >> 1));
      adamw(p!, grad, m!, v!, device.tensor(Float32Array.of(NaN)), defaults, rounded);
      return [p!, m!, v!, rounded.cast('float32')];
    });
    [...start, new Float32Array(count).fill(1)].forEach((values, i) => expectSameBits(results[i]!, values));
  });

  test('a learning rate of 0 changes no parameter, and a NaN gradient makes its parameter NaN', async () => {
    const start = random.floats(5);
    const [still, poisoned] = await onAllVariants(target, (device) => {
      const [a, b] = [device.tensor(start), device.tensor(start)];
      const [m, v] = [device.zeros([5]), device.zeros([5])];
      adamw(a, device.tensor(random.floats(5)), m, v, undefined, { ...defaults, lr: 0 });
      adamw(
        b,
        device.tensor(Float32Array.of(0, 0, NaN, 0, 0)),
        device.zeros([5]),
        device.zeros([5]),
        undefined,
        defaults,
      );
      return [a, b];
    });
    expectSameBits(still!, start);
    expect([...poisoned!].map(Number.isNaN)).toEqual([false, false, true, false, false]);
  });
});

test.each([
  [{ lr: -1 }, 'lr'],
  [{ lr: NaN }, 'lr'],
  [{ beta1: 1 }, 'beta1'],
  [{ beta2: -0.1 }, 'beta2'],
  [{ eps: Infinity }, 'eps'],
  [{ weightDecay: -1 }, 'weightDecay'],
  [{ step: 0 }, 'step'],
  [{ step: 1.5 }, 'step'],
])('%j is refused', async (options, name) => {
  await onCpu({}, async (device) => {
    const [p, g, m, v] = [0, 1, 2, 3].map(() => device.zeros([2]));
    expect(() => adamw(p!, g!, m!, v!, undefined, { ...defaults, ...options })).toThrow(
      foretokenError('INVALID_ARGUMENT', 'adamw', name),
    );
    await device.synchronize();
  });
});

test('arguments that do not match are named', async () => {
  await onCpu({}, async (device) => {
    const [a, b] = [device.zeros([2]), device.zeros([3])];
    expect(() => adamw(a, b, a, a, undefined, defaults)).toThrow(
      foretokenError('SHAPE_MISMATCH', 'grad is [3]'),
    );
    expect(() => adamw(a, a, b, a, undefined, defaults)).toThrow(
      foretokenError('SHAPE_MISMATCH', 'm is [3]'),
    );
    expect(() => adamw(a, a, a, a, b, defaults)).toThrow(
      foretokenError('SHAPE_MISMATCH', 'gradScale is [3]'),
    );
    const adamwInto = (rounded: Tensor): void => adamw(a, a, a, a, undefined, defaults, rounded);
    expect(() => adamwInto(device.empty([3], 'bfloat16'))).toThrow(
      foretokenError('SHAPE_MISMATCH', 'rounded is [3], but must be [2]'),
    );
    expect(() => adamwInto(device.empty([2], 'float16'))).toThrow(
      foretokenError('DTYPE_MISMATCH', 'rounded must be bfloat16, but is float16'),
    );
    expect(() => clipCoefficient(a, -1)).toThrow(foretokenError('INVALID_ARGUMENT', 'maxNorm', '-1'));
    await device.synchronize();
  });
});
