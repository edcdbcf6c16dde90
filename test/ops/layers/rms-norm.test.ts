import { native } from '../../../lib/native/load';
import { add } from '../../../lib/tensor/ops/layers/elementwise';
import { addRmsNorm, rmsNorm } from '../../../lib/tensor/ops/layers/rms-norm';
import { Tensor } from '../../../lib/tensor/tensor';
import {
  exact,
  expectAsGoodAsFloat32,
  expectRoundedOnce,
  expectSameBits,
  float32,
  type Rounding,
} from '../../support/accuracy';
import { onCpu } from '../../support/cpu';
import { bfloat16Targets, onAllVariants, onDevice, targets, type Target } from '../../support/devices';
import { foretokenError } from '../../support/errors';
import { checkGradients } from '../../support/gradcheck';
import { nearest, representable, tensorOf } from '../../support/half';
import { Random } from '../../support/random';

const shapes = [
  [1, 1],
  [3, 7],
  [7, 3],
  [31, 47],
  [47, 31],
  [130, 257], // many parts, and several blocks of rows in the gradient of the weight
  [33, 64],
  [9, 515],
  [5, 1024],
  [0, 3],
] as const;

const random = new Random(31);
const eps = 1e-5;

interface Problem {
  rows: number;
  dim: number;
  x: Float32Array;
  weight: Float32Array;
  gradY: Float32Array;
  gradWeight: Float32Array;
}

function problemOf(rows: number, dim: number): Problem {
  const [x, gradY] = [random.floats(rows * dim, 3), random.floats(rows * dim)];
  return { rows, dim, x, weight: random.floats(dim, 2), gradY, gradWeight: random.floats(dim) };
}

/** The definition, and its derivative by the chain rule. */
function reference(
  { rows, dim, x, weight, gradY, gradWeight: before }: Problem,
  round: Rounding,
): Float64Array[] {
  const [y, gradX] = [new Float64Array(rows * dim), new Float64Array(rows * dim)];
  const gradWeight = Float64Array.from(before);
  const root = Math.fround(eps);
  for (let r = 0; r < rows; r++) {
    const at = (i: number): number => r * dim + i;
    let squares = 0;
    for (let i = 0; i < dim; i++) squares = round(squares + round(x[at(i)]! ** 2));
    const rstd = round(1 / round(Math.sqrt(round(squares / dim + root))));
    let product = 0;
    for (let i = 0; i < dim; i++) {
      y[at(i)] = round(round(x[at(i)]! * rstd) * weight[i]!);
      product = round(product + round(round(gradY[at(i)]! * weight[i]!) * x[at(i)]!));
    }
    const mean = round(round(product * rstd) / dim);
    for (let i = 0; i < dim; i++) {
      const normal = round(x[at(i)]! * rstd);
      gradX[at(i)] = round(rstd * round(round(gradY[at(i)]! * weight[i]!) - round(normal * mean)));
      gradWeight[i] = round(gradWeight[i]! + round(gradY[at(i)]! * normal));
    }
  }
  return [y, gradX, gradWeight];
}

/** The magnitude of the terms of the gradient of x; with one dimension they nearly cancel. */
function sizeOfTerms({ rows, dim, x, weight, gradY }: Problem): number {
  let largest = 0;
  for (let r = 0; r < rows; r++) {
    const row = x.subarray(r * dim, (r + 1) * dim);
    const rstd = 1 / Math.sqrt(row.reduce((sum, value) => sum + value ** 2, 0) / dim + eps);
    for (let i = 0; i < dim; i++)
      largest = Math.max(largest, Math.abs(gradY[r * dim + i]! * weight[i]! * rstd));
  }
  return largest;
}

/** [y, gradX, gradWeight, gradX without gradWeight], as float32. */
function run(
  target: Target,
  problem: Problem,
  dtype: 'float32' | 'bfloat16' = 'float32',
): Promise<Float32Array[]> {
  const { rows, dim, x, weight, gradY, gradWeight } = problem;
  return onAllVariants(target, (device) => {
    const [input, scale] = [tensorOf(device, x, [rows, dim], dtype), device.tensor(weight)];
    const [y, rstd] = native
      .rmsNorm(input.handle, scale.handle, eps)
      .map((handle) => new Tensor(device, handle));
    const [upstream, grad] = [tensorOf(device, gradY, [rows, dim], dtype), device.tensor(gradWeight)];
    const gradX = (into?: Tensor): Tensor =>
      new Tensor(
        device,
        native.rmsNormBackward(upstream.handle, input.handle, scale.handle, rstd!.handle, into?.handle),
      );
    return [y!, gradX(grad), grad, gradX()].map((tensor) =>
      tensor.dtype === 'float32' ? tensor : tensor.cast('float32'),
    );
  });
}

/** [y, sum] of x + residual in bfloat16. */
function runWithResidual(
  target: Target,
  { rows, dim, x, weight, gradY: residual }: Problem,
): Promise<Float32Array[]> {
  return onAllVariants(target, (device) => {
    const [input, other] = [x, residual].map((values) => tensorOf(device, values, [rows, dim], 'bfloat16'));
    const [y, , sum] = native
      .rmsNorm(input!.handle, device.tensor(weight).handle, eps, other!.handle)
      .map((handle) => new Tensor(device, handle));
    return [y!, sum!].map((tensor) => tensor.cast('float32'));
  });
}

describe.each(targets)('%s', (target) => {
  test.each(shapes)('%i rows of %i', async (rows, dim) => {
    const problem = problemOf(rows, dim);
    const [y, gradX, gradWeight, gradXAlone] = await run(target, problem);
    const [oracle, plain] = [reference(problem, exact), reference(problem, float32)];
    expectAsGoodAsFloat32(y!, oracle[0]!, plain[0]!);
    expectAsGoodAsFloat32(gradX!, oracle[1]!, plain[1]!, sizeOfTerms(problem));
    expectAsGoodAsFloat32(gradWeight!, oracle[2]!, plain[2]!);
    expectSameBits(gradXAlone!, gradX!);
  });

  test.each([47, 64, 1024])('a row of %i has the same bits whatever rows stand beside it', async (dim) => {
    const problem = problemOf(40, dim);
    const [together] = await run(target, problem);
    for (const r of [0, 13, 39]) {
      const x = problem.x.slice(r * dim, (r + 1) * dim);
      const [alone] = await run(target, { ...problem, rows: 1, x, gradY: x });
      expectSameBits(alone!, together!.slice(r * dim, (r + 1) * dim));
    }
  });

  test('a row has the same bits wherever it begins in memory', async () => {
    const [x, weight] = [random.floats(64 + 8), random.floats(64 + 8)];
    await onDevice(target, async (device) => {
      const at = async (from: number): Promise<Float32Array> => {
        const placed = (values: Float32Array): Tensor => {
          const shifted = new Float32Array(64 + 8);
          shifted.set(values.subarray(0, 64), from);
          return device.tensor(shifted);
        };
        const [input, scale] = [placed(x).view(from, [1, 64]), placed(weight).view(from, [64])];
        return (await rmsNorm(input, scale, eps).data()) as Float32Array;
      };
      for (const from of [1, 2, 3]) expectSameBits(await at(from), await at(0));
    });
  });

  test('rows of zeros, of tiny and of large numbers', async () => {
    const problem = problemOf(4, 31);
    for (const [r, size] of [0, 1e-18, 1e-3, 1e15].entries()) {
      for (let i = 0; i < 31; i++) problem.x[r * 31 + i]! *= size;
    }
    const [y, gradX] = await run(target, problem);
    const [oracle, plain] = [reference(problem, exact), reference(problem, float32)];
    for (let r = 0; r < 4; r++) {
      const row = <T extends Float32Array | Float64Array>(all: T): T => all.slice(r * 31, (r + 1) * 31) as T;
      expectAsGoodAsFloat32(row(y!), row(oracle[0]!), row(plain[0]!));
      expectAsGoodAsFloat32(row(gradX!), row(oracle[1]!), row(plain[1]!));
    }
  });

  test.each(shapes)(
    '%i rows of %i and a residual: the same gradients as a separate addition',
    async (rows, dim) => {
      const { x, weight, gradY } = problemOf(rows, dim);
      const others = random.floats(rows * dim);
      const results = await onAllVariants(target, (device) => {
        const outcome = (
          fn: (x: Tensor, residual: Tensor, weight: Tensor) => { sum: Tensor; out: Tensor },
        ): Tensor[] => {
          const inputs = [
            device.tensor(x, [rows, dim]),
            device.tensor(others, [rows, dim]),
            device.tensor(weight),
          ].map((tensor) => tensor.requireGrad()) as [Tensor, Tensor, Tensor];
          const { sum, out } = fn(...inputs);
          // The sum is used as well, as in a block.
          const result = add(sum, out);
          result.backward(device.tensor(gradY, [rows, dim]));
          return [sum, out, result, ...inputs.map((input) => input.grad!)].map((tensor) => tensor.detach());
        };
        return [
          ...outcome((a, b, w) => addRmsNorm(a, b, w, eps)),
          ...outcome((a, b, w) => {
            const sum = add(a, b);
            return { sum, out: rmsNorm(sum, w, eps) };
          }),
        ];
      });
      results.slice(0, 6).forEach((result, i) => expectSameBits(result, results[i + 6]!));
    },
  );

  test('gradients', async () => {
    await onDevice(target, async (device) => {
      const inputs = [
        { data: random.floats(2 * 3 * 7, 2), shape: [2, 3, 7] },
        { data: random.floats(7, 2), shape: [7] },
      ];
      await checkGradients(device, inputs, (x, weight) => rmsNorm(x, weight, eps));
      const frozen = device.tensor(inputs[1]!.data);
      await checkGradients(device, inputs.slice(0, 1), (x) => rmsNorm(x, frozen, eps));
    });
  });
});

describe.each(bfloat16Targets)('in bfloat16 on %s', (target) => {
  const halves = (values: Float32Array): Float32Array => representable(values, 'bfloat16');
  const rounded = (values: ArrayLike<number>): Float32Array =>
    Float32Array.from(values, (value) => nearest(Math.fround(value), 'bfloat16'));

  test.each(shapes)('%i rows of %i', async (rows, dim) => {
    const float = problemOf(rows, dim);
    const problem = { ...float, x: halves(float.x), gradY: halves(float.gradY) };
    const [y, gradX, gradWeight, gradXAlone] = await run(target, problem, 'bfloat16');
    const [oracle, plain] = [reference(problem, exact), reference(problem, float32)];
    expectRoundedOnce(y!, oracle[0]!, 12);
    expectAsGoodAsFloat32(gradX!, oracle[1]!, rounded(plain[1]!));
    expectAsGoodAsFloat32(gradWeight!, oracle[2]!, plain[2]!);
    expectSameBits(gradXAlone!, gradX!);
  });

  test.each(shapes)(
    '%i rows of %i and a residual, whose sum is rounded before the norm',
    async (rows, dim) => {
      const float = problemOf(rows, dim);
      const problem = { ...float, x: halves(float.x), gradY: halves(float.gradY) };
      const [y, sum] = await runWithResidual(target, problem);
      const normed = { ...problem, x: rounded(problem.x.map((value, i) => value + problem.gradY[i]!)) };
      expectSameBits(sum!, normed.x);
      expectSameBits(y!, (await run(target, normed, 'bfloat16'))[0]!);
    },
  );
});

test('arguments that do not match are named', async () => {
  await onCpu({}, async (device) => {
    const [x, weight] = [device.zeros([2, 3]), device.zeros([3])];
    expect(() => rmsNorm(x, device.zeros([2]), eps)).toThrow(
      foretokenError('SHAPE_MISMATCH', 'rmsNorm', 'weight is [2]', '[3]'),
    );
    expect(() => addRmsNorm(x, device.zeros([3, 2]), weight, eps)).toThrow(
      foretokenError('SHAPE_MISMATCH', 'rmsNorm', 'residual is [3, 2]', '[2, 3]'),
    );
    expect(() => rmsNorm(x, weight, -1)).toThrow(foretokenError('INVALID_ARGUMENT', 'rmsNorm', 'eps', '-1'));
    expect(() => rmsNorm(device.zeros([]), weight, eps)).toThrow(foretokenError('SHAPE_MISMATCH', 'x is []'));
    await device.synchronize();
  });
});
