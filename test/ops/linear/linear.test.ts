// Linear layers and their gradients against the definition, around the tiles, panels and blocks of the matrix product.
import { native } from '../../../lib/native/load';
import { openDevice, type Device } from '../../../lib/tensor/device';
import { embedding } from '../../../lib/tensor/ops/layers/embedding';
import { linear, packWeight } from '../../../lib/tensor/ops/linear/linear';
import { Tensor } from '../../../lib/tensor/tensor';
import {
  cutOff,
  exact,
  expectAsGoodAsFloat32,
  expectSameBits,
  float32,
  type Rounding,
} from '../../support/accuracy';
import { onDeviceOnly, take } from '../../support/cpu';
import { bfloat16Targets, isEmulated, onAllVariants, onDevice, targets } from '../../support/devices';
import { foretokenError } from '../../support/errors';
import { checkGradients } from '../../support/gradcheck';
import { encode, nearest, representable } from '../../support/half';
import { memoize } from '../../support/memoize';
import { Random } from '../../support/random';

/** Rows, inputs, outputs. Each of the three products sums over one of them. */
const shapes = [
  [1, 1, 1],
  [3, 7, 5],
  [12, 16, 32],
  [13, 33, 65],
  [47, 31, 129],
  [2, 1025, 3], // several blocks of inputs, the last one smaller
  [3, 5, 1200],
  [1030, 3, 2],
  [150, 600, 4], // several blocks of rows, too
  [0, 3, 5],
] as const;

/** For GPUs: whole vectors, more than one block in every dimension, and more rows than a decoding step has. */
const wideShapes = [
  [136, 72, 200],
  [300, 136, 72],
  [72, 520, 16], // inputs for all warps of a decoding block
  [1100, 72, 8], // enough rows for slices
  [20, 24, 6150], // many outputs, 32 in a decoding block
  [40, 24, 6150], // 64 in a decoding block
] as const;

const moreRowsThanDecodingHas = [
  [300, 136, 72],
  [257, 33, 7],
] as const;

interface Problem {
  rows: number;
  inputs: number;
  outputs: number;
  x: Float32Array;
  weight: Float32Array;
  bias: Float32Array;
  gradY: Float32Array;
  /** Existing values, to which the gradients of weight and bias are added. */
  gradWeight: Float32Array;
  gradBias: Float32Array;
}

function problemOf(rows: number, inputs: number, outputs: number): Problem {
  const random = new Random(61 * rows + inputs);
  const [x, gradY] = [random.floats(rows * inputs, 2), random.floats(rows * outputs, 2)];
  const [weight, gradWeight] = [random.floats(outputs * inputs), random.floats(outputs * inputs)];
  const [bias, gradBias] = [random.floats(outputs, 4), random.floats(outputs, 4)];
  return { rows, inputs, outputs, x, weight, bias, gradY, gradWeight, gradBias };
}

/** The same problem with operands that bfloat16 can hold. */
function inBFloat16(problem: Problem): Problem {
  const { x, weight, gradY } = problem;
  const [a, b, c] = [x, weight, gradY].map((values) => representable(values, 'bfloat16'));
  return { ...problem, x: a!, weight: b!, gradY: c! };
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

const oracleOf = memoize((problem: Problem) => reference(problem, exact));
const plainOf = memoize((problem: Problem) => reference(problem, float32));

const toBFloat16 = (values: Float64Array): Float64Array => values.map((value) => nearest(value, 'bfloat16'));

/** y with a packed and with a row-major weight, and the gradients, in the order of {@link reference}. */
function run(device: Device, problem: Problem): Tensor[] {
  const { rows, inputs, outputs } = problem;
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
}

/** y in bfloat16 and in float32, and the gradients, from operands in bfloat16. */
function runInBFloat16(device: Device, problem: Problem): Tensor[] {
  const { rows, inputs, outputs } = problem;
  const upload = (values: Float32Array, shape: number[]): Tensor =>
    device.tensor(encode(values, 'bfloat16'), shape, 'bfloat16');
  const [x, gradY] = [upload(problem.x, [rows, inputs]), upload(problem.gradY, [rows, outputs])];
  const [weight, bias] = [upload(problem.weight, [outputs, inputs]), device.tensor(problem.bias)];
  const gradWeight = device.tensor(problem.gradWeight, [outputs, inputs]);
  const gradBias = device.tensor(problem.gradBias);
  native.linearBackwardWeight(gradY.handle, x.handle, gradWeight.handle, gradBias.handle);
  const gradX = new Tensor(device, native.linearBackwardInput(gradY.handle, weight.handle));
  const y = linear(x, weight, bias);
  expect([y.dtype, gradX.dtype]).toEqual(['bfloat16', 'bfloat16']);
  return [y.cast('float32'), linear(x, weight, bias, 'float32'), gradX.cast('float32'), gradWeight, gradBias];
}

function expectGoodInBFloat16(
  problem: Problem,
  results: readonly Float32Array[],
  plain = plainOf(problem),
): void {
  const [y, wideY, gradX, gradWeight, gradBias] = results;
  const oracle = oracleOf(problem);
  expectAsGoodAsFloat32(y!, oracle[0]!, toBFloat16(plain[0]!));
  expectAsGoodAsFloat32(wideY!, oracle[0]!, plain[0]!);
  expectAsGoodAsFloat32(gradX!, oracle[1]!, toBFloat16(plain[1]!));
  expectAsGoodAsFloat32(gradWeight!, oracle[2]!, plain[2]!);
  expectAsGoodAsFloat32(gradBias!, oracle[3]!, plain[3]!);
}

/** Expects gradients to be unchanged between an operation that fails and the readback that reports it. */
async function expectNothingAdded(device: Device, problem: Problem): Promise<void> {
  const { rows, inputs, outputs } = problem;
  const gradWeight = device.tensor(problem.gradWeight, [outputs, inputs]);
  const gradBias = device.tensor(problem.gradBias);
  const x = device.tensor(problem.x, [rows, inputs]);
  const gradY = device.tensor(problem.gradY, [rows, outputs]);
  const add = (): void => {
    native.linearBackwardWeight(gradY.handle, x.handle, gradWeight.handle, gradBias.handle);
  };
  const failed = embedding(onDeviceOnly(device, [rows]), x);
  add();
  await expect(failed.data()).rejects.toThrow(foretokenError('INDEX_OUT_OF_RANGE', 'embedding', `${rows}`));
  expectSameBits((await gradWeight.data()) as Float32Array, problem.gradWeight);
  expectSameBits((await gradBias.data()) as Float32Array, problem.gradBias);
  add();
  const [oracle, plain] = [oracleOf(problem), plainOf(problem)];
  expectAsGoodAsFloat32(await take(gradWeight), oracle[2]!, plain[2]!);
  expectAsGoodAsFloat32(await take(gradBias), oracle[3]!, plain[3]!);
}

describe.each(targets)('%s', (target) => {
  test.each([...shapes, ...wideShapes])('%i rows, %i inputs, %i outputs', async (...shape) => {
    const problem = problemOf(...shape);
    const [packed, ...results] = await onAllVariants(target, (device) => run(device, problem));
    const [oracle, plain] = [oracleOf(problem), plainOf(problem)];
    results.forEach((result, i) => expectAsGoodAsFloat32(result, oracle[i]!, plain[i]!));
    expectSameBits(packed!, results[0]!);
  });

  // Blocks of a packed weight are about twenty times as deep.
  test('more inputs than one block of a packed weight', async () => {
    const [rows, inputs, outputs] = [14, 24_001, 3];
    const problem = problemOf(rows, inputs, outputs);
    const [packed, plain] = await onAllVariants(target, (device) => {
      const x = device.tensor(problem.x, [rows, inputs]);
      const [weight, bias] = [device.tensor(problem.weight, [outputs, inputs]), device.tensor(problem.bias)];
      return [linear(x, packWeight(weight), bias), linear(x, weight, bias)];
    });
    expectAsGoodAsFloat32(packed!, oracleOf(problem)[0]!, plainOf(problem)[0]!);
    expectSameBits(packed!, plain!);
  });

  test('a row has the same bits whatever rows stand beside it', async () => {
    const problem = problemOf(40, 77, 35);
    const [together, ...alone] = await onAllVariants(target, (device) => {
      const [x, weight] = [device.tensor(problem.x, [40, 77]), device.tensor(problem.weight, [35, 77])];
      return [linear(x, weight), ...[0, 13, 39].map((row) => linear(x.view(row * 77, [1, 77]), weight))];
    });
    [0, 13, 39].forEach((row, i) => expectSameBits(alone[i]!, together!.slice(row * 35, (row + 1) * 35)));
  });

  test.each(['bfloat16', 'float16'] as const)('a weight of %s', async (dtype) => {
    const problem = problemOf(5, 45, 37);
    problem.weight = representable(problem.weight, dtype);
    const [y, wide] = await onAllVariants(target, (device) => {
      const x = device.tensor(problem.x, [5, 45]);
      const weight = device.tensor(encode(problem.weight, dtype), [37, 45], dtype);
      return [linear(x, weight), linear(x, device.tensor(problem.weight, [37, 45]))];
    });
    expectSameBits(y!, wide!);
  });

  test('gradients', async () => {
    const random = new Random(62);
    await onDevice(target, async (device) => {
      const inputs = [
        { data: random.floats(2 * 3 * 7), shape: [2, 3, 7] },
        { data: random.floats(5 * 7), shape: [5, 7] },
        { data: random.floats(5), shape: [5] },
      ];
      await checkGradients(device, inputs, (x, weight, bias) => linear(x, weight, bias));
    });
  });
});

describe.each(bfloat16Targets)('bfloat16 on %s', (target) => {
  test.each([...shapes, ...wideShapes])('%i rows, %i inputs, %i outputs', async (...shape) => {
    const problem = inBFloat16(problemOf(...shape));
    const results = await onAllVariants(target, (device) => runInBFloat16(device, problem));
    expectGoodInBFloat16(problem, results, target === 'cuda' ? reference(problem, cutOff) : plainOf(problem));
  });

  test('matrices that begin between vectors', async () => {
    const [rows, inputs, outputs] = [20, 40, 24];
    const problem = inBFloat16(problemOf(rows, inputs, outputs));
    const shifted = (device: Device, values: Float32Array, shape: number[]): Tensor =>
      device
        .tensor(encode(Float32Array.of(0, ...values), 'bfloat16'), [values.length + 1], 'bfloat16')
        .view(1, shape);
    const [y, gradX] = await onAllVariants(target, (device) => {
      const weight = shifted(device, problem.weight, [outputs, inputs]);
      const gradY = shifted(device, problem.gradY, [rows, outputs]);
      const x = shifted(device, problem.x, [rows, inputs]);
      const gradX = new Tensor(device, native.linearBackwardInput(gradY.handle, weight.handle));
      return [linear(x, weight, device.tensor(problem.bias), 'float32'), gradX.cast('float32')];
    });
    const [oracle, plain] = [oracleOf(problem), plainOf(problem)];
    expectAsGoodAsFloat32(y!, oracle[0]!, plain[0]!);
    expectAsGoodAsFloat32(gradX!, oracle[1]!, toBFloat16(plain[1]!));
  });

  // Inputs that are and are not whole vectors, and warps with none, one or several runs of inputs.
  test.each([77, 136, 1104])('a row of %i inputs has the same bits beside any others', async (inputs) => {
    const [most, outputs] = [256, 20];
    const problem = inBFloat16(problemOf(most, inputs, outputs));
    await onDevice(target, async (device) => {
      const x = device.tensor(encode(problem.x, 'bfloat16'), [most, inputs], 'bfloat16');
      const weight = device.tensor(encode(problem.weight, 'bfloat16'), [outputs, inputs], 'bfloat16');
      const rowsOf = async (rows: number, first: number): Promise<Float32Array> => {
        using part = x.view(first * inputs, [rows, inputs]);
        return await take(linear(part, weight, null, 'float32'));
      };
      const whole = await rowsOf(most, 0);
      expect(new Set(whole).size).toBeGreaterThan((most * outputs) / 2);
      // An emulated device takes a while for each count.
      const counts = isEmulated(target)
        ? [1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 40, 63, 64, 65, 129]
        : Array.from({ length: most }, (_, i) => i + 1);
      for (const rows of counts) {
        const first = (7 * rows) % (most - rows + 1);
        expectSameBits(await rowsOf(rows, first), whole.slice(first * outputs, (first + rows) * outputs));
      }
    });
  });

  test.each(['float32', 'float16'] as const)('x of bfloat16 and a weight of %s', async (dtype) => {
    const problem = inBFloat16(problemOf(5, 45, 37));
    if (dtype === 'float16') problem.weight = representable(problem.weight, dtype);
    const [y, wide] = await onAllVariants(target, (device) => {
      const x = device.tensor(encode(problem.x, 'bfloat16'), [5, 45], 'bfloat16');
      const weight = device.tensor(problem.weight, [37, 45]);
      return [
        linear(x, dtype === 'float32' ? weight : weight.cast(dtype), null, 'float32'),
        linear(x.cast('float32'), weight),
      ];
    });
    expectSameBits(y!, wide!);
  });

  test('nothing is added to gradients once an operation has failed', () =>
    onDevice(target, (device) => expectNothingAdded(device, problemOf(3, 8, 8))));
});

// The emulator's cuBLAS refuses the arguments that cuBLAS refuses, and sums in float64.
for (const target of targets.filter(isEmulated))
  describe(`with cuBLAS on ${target}`, () => {
    const emulator = { checked: target === 'cuda-checked', cublas: true };
    const withCublas = async <T>(fn: (device: Device) => Promise<T>): Promise<T> => {
      using device = openDevice('cuda-emulated', { emulator });
      return await fn(device);
    };

    /** y and the gradients without a bias, which cuBLAS does not support. */
    const products = async (
      device: Device,
      problem: Problem,
      dtype: 'float32' | 'bfloat16',
    ): Promise<Float32Array[]> => {
      const { rows, inputs, outputs } = problem;
      const upload = (values: Float32Array, shape: number[]): Tensor =>
        dtype === 'float32'
          ? device.tensor(values, shape)
          : device.tensor(encode(values, dtype), shape, dtype);
      const [x, weight] = [upload(problem.x, [rows, inputs]), upload(problem.weight, [outputs, inputs])];
      const y = linear(x, weight);
      const [, , ...gradients] = dtype === 'float32' ? run(device, problem) : runInBFloat16(device, problem);
      const results = [y.cast('float32'), linear(x, weight, null, 'float32'), ...gradients];
      return await Promise.all(results.map(take));
    };

    test.each([...moreRowsThanDecodingHas])('%i rows, %i inputs, %i outputs', async (...shape) => {
      const problem = inBFloat16(problemOf(...shape));
      const [y, , ...gradients] = await withCublas((device) => products(device, problem, 'float32'));
      const rounded = await withCublas((device) => products(device, problem, 'bfloat16'));
      problem.bias.fill(0);
      expectGoodInBFloat16(problem, rounded);
      const [oracle, plain] = [oracleOf(problem), plainOf(problem)];
      [y!, ...gradients].forEach((result, i) => expectAsGoodAsFloat32(result, oracle[i]!, plain[i]!));
    });

    test('runs large products only, and none of decoding', async () => {
      const namesOfSame = async (rows: number): Promise<string[]> => {
        const problem = problemOf(rows, 136, 72);
        const own = await onDevice(target, (device) => products(device, problem, 'float32'));
        const its = await withCublas((device) => products(device, problem, 'float32'));
        const isSame = (i: number): boolean => its[i]!.every((value, j) => value === own[i]![j]);
        return ['y', 'wideY', 'gradX', 'gradWeight', 'gradBias'].filter((_, i) => isSame(i));
      };
      expect(await namesOfSame(257)).toEqual(['gradBias']);
      expect(await namesOfSame(256)).toEqual(['y', 'wideY', 'gradBias']);
    });

    test('adds nothing to gradients once an operation has failed', () =>
      withCublas((device) => expectNothingAdded(device, problemOf(300, 8, 8))));
  });
