// Linear layers and their gradients against the definition, around the tiles, panels and blocks of the matrix product.
import { native } from '../../lib/native/load';
import { linear, packWeight } from '../../lib/tensor/ops/linear';
import { Tensor } from '../../lib/tensor/tensor';
import { exact, expectAsGoodAsFloat32, expectSameBits, float32, type Rounding } from '../support/accuracy';
import { isaLevels, onCpu } from '../support/cpu';
import { checkGradients } from '../support/gradcheck';
import { encode, representable } from '../support/half';
import { Random } from '../support/random';
import { onAllThreadCounts } from '../support/thread-counts';

/** Rows, inputs and outputs. Each of them is summed over once, in one of the three products. */
const shapes = [
  [1, 1, 1],
  [3, 7, 5],
  [12, 16, 32],
  [13, 33, 65],
  [47, 31, 129],
  [2, 1025, 3], // several blocks of inputs, of which the last is smaller
  [3, 5, 1200],
  [1030, 3, 2],
  [150, 600, 4], // several blocks of rows, too
] as const;

const random = new Random(61);

interface Problem {
  rows: number;
  inputs: number;
  outputs: number;
  x: Float32Array;
  weight: Float32Array;
  bias: Float32Array;
  gradY: Float32Array;
  /** What the gradients of weight and bias are added to. */
  gradWeight: Float32Array;
  gradBias: Float32Array;
}

function problemOf(rows: number, inputs: number, outputs: number): Problem {
  const [x, gradY] = [random.floats(rows * inputs, 2), random.floats(rows * outputs, 2)];
  const [weight, gradWeight] = [random.floats(outputs * inputs), random.floats(outputs * inputs)];
  const [bias, gradBias] = [random.floats(outputs, 4), random.floats(outputs, 4)];
  return { rows, inputs, outputs, x, weight, bias, gradY, gradWeight, gradBias };
}

function reference(problem: Problem, round: Rounding): Float64Array[] {
  const { rows, inputs, outputs, x, weight, bias, gradY } = problem;
  const [y, gradX] = [new Float64Array(rows * outputs), new Float64Array(rows * inputs)];
  const gradWeight = Float64Array.from(problem.gradWeight);
  const gradBias = Float64Array.from(problem.gradBias);
  for (let r = 0; r < rows; r++) {
    for (let o = 0; o < outputs; o++) {
      const at = r * outputs + o;
      for (let i = 0; i < inputs; i++) {
        const [input, w] = [r * inputs + i, o * inputs + i];
        y[at] = round(y[at]! + round(x[input]! * weight[w]!));
        gradX[input] = round(gradX[input]! + round(gradY[at]! * weight[w]!));
        gradWeight[w] = round(gradWeight[w]! + round(gradY[at]! * x[input]!));
      }
      y[at] = round(y[at]! + bias[o]!);
      gradBias[o] = round(gradBias[o]! + gradY[at]!);
    }
  }
  return [y, gradX, gradWeight, gradBias];
}

describe.each(isaLevels)('%s', (isa) => {
  test.each(shapes)('%i rows, %i inputs, %i outputs', async (...shape) => {
    const problem = problemOf(...shape);
    const [rows, inputs, outputs] = shape;
    const [packed, ...results] = await onAllThreadCounts(isa, (device) => {
      const [x, gradY] = [
        device.tensor(problem.x, [rows, inputs]),
        device.tensor(problem.gradY, [rows, outputs]),
      ];
      const [weight, bias] = [device.tensor(problem.weight, [outputs, inputs]), device.tensor(problem.bias)];
      const gradWeight = device.tensor(problem.gradWeight, [outputs, inputs]);
      const gradBias = device.tensor(problem.gradBias);
      native.linearBackwardWeight(gradY.handle, x.handle, gradWeight.handle, gradBias.handle);
      const gradX = new Tensor(device, native.linearBackwardInput(gradY.handle, weight.handle));
      return [linear(x, packWeight(weight), bias), linear(x, weight, bias), gradX, gradWeight, gradBias];
    });
    const [oracle, plain] = [reference(problem, exact), reference(problem, float32)];
    results.forEach((result, i) => expectAsGoodAsFloat32(result, oracle[i]!, plain[i]!));
    expectSameBits(packed!, results[0]!);
  });

  // A packed weight is multiplied in blocks that are some twenty times as deep.
  test('more inputs than one block of a packed weight', async () => {
    const [rows, inputs, outputs] = [14, 24_001, 3];
    const problem = problemOf(rows, inputs, outputs);
    const [packed, plain] = await onAllThreadCounts(isa, (device) => {
      const x = device.tensor(problem.x, [rows, inputs]);
      const [weight, bias] = [device.tensor(problem.weight, [outputs, inputs]), device.tensor(problem.bias)];
      return [linear(x, packWeight(weight), bias), linear(x, weight, bias)];
    });
    expectAsGoodAsFloat32(packed!, reference(problem, exact)[0]!, reference(problem, float32)[0]!);
    expectSameBits(packed!, plain!);
  });

  test('a row has the same bits whatever rows stand beside it', async () => {
    const problem = problemOf(40, 77, 35);
    const [together, ...alone] = await onAllThreadCounts(isa, (device) => {
      const [x, weight] = [device.tensor(problem.x, [40, 77]), device.tensor(problem.weight, [35, 77])];
      return [linear(x, weight), ...[0, 13, 39].map((row) => linear(x.view(row * 77, [1, 77]), weight))];
    });
    [0, 13, 39].forEach((row, i) => expectSameBits(alone[i]!, together!.slice(row * 35, (row + 1) * 35)));
  });

  test.each(['bfloat16', 'float16'] as const)('a weight of %s', async (dtype) => {
    const problem = problemOf(5, 45, 37);
    problem.weight = representable(problem.weight, dtype);
    const [y, wide] = await onAllThreadCounts(isa, (device) => {
      const x = device.tensor(problem.x, [5, 45]);
      const weight = device.tensor(encode(problem.weight, dtype), [37, 45], dtype);
      return [linear(x, weight), linear(x, device.tensor(problem.weight, [37, 45]))];
    });
    expectSameBits(y!, wide!);
  });

  test('gradients', async () => {
    await onCpu({ isa, threads: 2 }, async (device) => {
      const inputs = [
        { data: random.floats(2 * 3 * 7), shape: [2, 3, 7] },
        { data: random.floats(5 * 7), shape: [5, 7] },
        { data: random.floats(5), shape: [5] },
      ];
      await checkGradients(device, inputs, (x, weight, bias) => linear(x, weight, bias));
    });
  });
});
