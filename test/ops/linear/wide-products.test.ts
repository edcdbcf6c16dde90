// Products of bfloat16 matrices large enough for the widest tiles of C, in all three layouts, and the loss at such sizes.
// The elements of the products are small integers, so every sum is exact in float32, in any order.
import { native } from '../../../lib/native/load';
import { openDevice, type Device } from '../../../lib/tensor/device';
import { linear } from '../../../lib/tensor/ops/linear/linear';
import { scope } from '../../../lib/tensor/scope';
import { Tensor } from '../../../lib/tensor/tensor';
import { expectSameBits } from '../../support/accuracy';
import { onCpu, take } from '../../support/cpu';
import { bfloat16Targets, onAllVariants, onEachVariant } from '../../support/devices';
import { representable } from '../../support/half';
import { allOutputs, randomProblem, runLoss } from '../../support/loss';
import type { LossProblem } from '../../support/loss-oracle';
import { memoize } from '../../support/memoize';
import { Random } from '../../support/random';

const random = new Random(17);
const integers = (count: number): Float32Array => {
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) values[i] = random.integer(7) - 3;
  return values;
};

/** More rows than a decoding step has, sizes that are no multiples of a tile, and more inputs than one tile. */
const [rows, narrow, wide] = [300, 72, 33 * 256 - 5];

type Run = (device: Device, dtype: 'float32' | 'bfloat16') => Tensor;

function forward(inputs: number, outputs: number): Run {
  const [x, weight] = [integers(rows * inputs), integers(outputs * inputs)];
  return (device, dtype) => {
    const given = device.tensor(x, [rows, inputs]).cast(dtype);
    return linear(given, device.tensor(weight, [outputs, inputs]).cast(dtype), null, 'float32');
  };
}

function backwardInput(inputs: number, outputs: number): Run {
  const [gradY, weight] = [integers(rows * outputs), integers(outputs * inputs)];
  return (device, dtype) => {
    const given = device.tensor(gradY, [rows, outputs]).cast(dtype);
    const matrix = device.tensor(weight, [outputs, inputs]).cast(dtype);
    return new Tensor(device, native.linearBackwardInput(given.handle, matrix.handle)).cast('float32');
  };
}

function backwardWeight(inputs: number, outputs: number): Run {
  const [gradY, x] = [integers(rows * outputs), integers(rows * inputs)];
  const gradWeight = integers(outputs * inputs);
  return (device, dtype) => {
    const sums = device.tensor(gradWeight, [outputs, inputs]);
    const given = device.tensor(gradY, [rows, outputs]).cast(dtype);
    const seen = device.tensor(x, [rows, inputs]).cast(dtype);
    native.linearBackwardWeight(given.handle, seen.handle, sums.handle, undefined);
    return sums;
  };
}

/** |a - b| / |b| */
function distance(a: Float32Array, b: Float32Array): number {
  const [apart, whole] = [
    a.reduce((sum, x, i) => sum + (x - b[i]!) ** 2, 0),
    b.reduce((sum, x) => sum + x * x, 0),
  ];
  return Math.sqrt(apart / whole);
}

const lossOnCpu = memoize((problem: LossProblem) => onCpu({}, (device) => runLoss(device, problem)));

describe.each(bfloat16Targets)('%s', (target) => {
  test.each([
    // The copy engine reads only rows that begin at multiples of 16 bytes; other rows use another path.
    ['y', forward, narrow, wide],
    ['y of other inputs', forward, narrow + 1, wide],
    ['the gradient of x', backwardInput, wide - 3, narrow],
    ['the gradient of the weight', backwardWeight, wide - 3, narrow * 4],
  ] as const)('%s', async (_, product, inputs, outputs) => {
    const run = product(inputs, outputs);
    using cpu = openDevice('cpu', { poison: true });
    const expected = await take(scope(() => run(cpu, 'float32')));
    const [actual] = await onAllVariants(target, (device) => [run(device, 'bfloat16')]);
    // Gradients of x are bfloat16, like x.
    expectSameBits(actual!, product === backwardInput ? representable(expected, 'bfloat16') : expected);
  });

  // If no ranks are wanted, the kernel keeps exponentials instead of logits.
  test.each([
    ['ranks', allOutputs],
    ['no ranks', ['nll', 'lse', 'entropy', 'argmax']],
  ] as const)('loss and gradients, %s', async (_, outputs) => {
    const problem = randomProblem(3, { rows, dim: narrow * 4, vocab: wide }, { heads: 2 });
    problem.hidden = representable(problem.hidden, 'bfloat16');
    problem.weight = representable(problem.weight, 'bfloat16');
    // More valid rows than a block has threads.
    problem.targets = Int32Array.from({ length: rows }, (_, row) => (row * 4999) % wide);
    const expected = await lossOnCpu(problem);
    const how = { dtypes: { hidden: 'bfloat16', weight: 'bfloat16' }, outputs } as const;
    await onEachVariant(target, async (device) => {
      const run = await runLoss(device, problem, how);
      expect(run.argmax).toEqual(expected.argmax);
      for (const name of ['nll', 'lse', 'entropy'] as const) {
        expect(distance(run[name], expected[name])).toBeLessThan(1e-6);
      }
      // With ranks, gradients of logits are rounded to bfloat16. Without, exponentials are, and so are hidden states times
      // their row's factor.
      const roundings = outputs === allOutputs ? 1 : 2;
      for (const name of ['gradHidden', 'gradWeight'] as const) {
        expect(distance(run[name], expected[name])).toBeLessThan(Math.sqrt(roundings) * 2 ** -9);
      }
    });
  });
});
