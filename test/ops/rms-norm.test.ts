import { native } from '../../lib/native/load';
import { add } from '../../lib/tensor/ops/elementwise';
import { addRmsNorm, rmsNorm } from '../../lib/tensor/ops/rms-norm';
import { Tensor } from '../../lib/tensor/tensor';
import { exact, expectAsGoodAsFloat32, expectSameBits, float32, type Rounding } from '../support/accuracy';
import { isaLevels, onCpu } from '../support/cpu';
import { foretokenError } from '../support/errors';
import { checkGradients } from '../support/gradcheck';
import { Random } from '../support/random';
import { onAllThreadCounts } from '../support/thread-counts';

const shapes = [
  [1, 1],
  [3, 7],
  [7, 3],
  [31, 47],
  [47, 31],
  [130, 257], // many parts, and blocks of rows in the gradient of the weight
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

function run(isa: (typeof isaLevels)[number], problem: Problem): Promise<Float32Array[]> {
  const { rows, dim, x, weight, gradY, gradWeight } = problem;
  return onAllThreadCounts(isa, (device) => {
    const [input, scale] = [device.tensor(x, [rows, dim]), device.tensor(weight)];
    const [y, rstd] = native
      .rmsNorm(input.handle, scale.handle, eps)
      .map((handle) => new Tensor(device, handle));
    const [upstream, grad] = [device.tensor(gradY, [rows, dim]), device.tensor(gradWeight)];
    const gradX = (into?: Tensor): Tensor =>
      new Tensor(
        device,
        native.rmsNormBackward(upstream.handle, input.handle, scale.handle, rstd!.handle, into?.handle),
      );
    return [y!, gradX(grad), grad, gradX()];
  });
}

describe.each(isaLevels)('%s', (isa) => {
  test.each(shapes)('%i rows of %i', async (rows, dim) => {
    const problem = problemOf(rows, dim);
    const [y, gradX, gradWeight, gradXAlone] = await run(isa, problem);
    const [oracle, plain] = [reference(problem, exact), reference(problem, float32)];
    expectAsGoodAsFloat32(y!, oracle[0]!, plain[0]!);
    expectAsGoodAsFloat32(gradX!, oracle[1]!, plain[1]!);
    expectAsGoodAsFloat32(gradWeight!, oracle[2]!, plain[2]!);
    expectSameBits(gradXAlone!, gradX!);
  });

  test('a row has the same bits whatever rows stand beside it', async () => {
    const problem = problemOf(40, 47);
    const [together] = await run(isa, problem);
    for (const r of [0, 13, 39]) {
      const x = problem.x.slice(r * 47, (r + 1) * 47);
      const [alone] = await run(isa, { ...problem, rows: 1, x, gradY: x });
      expectSameBits(alone!, together!.slice(r * 47, (r + 1) * 47));
    }
  });

  test('rows of zeros, of tiny and of large numbers', async () => {
    const problem = problemOf(4, 31);
    for (const [r, size] of [0, 1e-18, 1e-3, 1e15].entries()) {
      for (let i = 0; i < 31; i++) problem.x[r * 31 + i]! *= size;
    }
    const [y, gradX] = await run(isa, problem);
    const [oracle, plain] = [reference(problem, exact), reference(problem, float32)];
    for (let r = 0; r < 4; r++) {
      const row = <T extends Float32Array | Float64Array>(all: T): T => all.slice(r * 31, (r + 1) * 31) as T;
      expectAsGoodAsFloat32(row(y!), row(oracle[0]!), row(plain[0]!));
      expectAsGoodAsFloat32(row(gradX!), row(oracle[1]!), row(plain[1]!));
    }
  });

  test.each(shapes)('%i rows of %i and a residual, as if they were added before', async (rows, dim) => {
    const { x, weight, gradY } = problemOf(rows, dim);
    const others = random.floats(rows * dim);
    const results = await onAllThreadCounts(isa, (device) => {
      const outcome = (
        fn: (x: Tensor, residual: Tensor, weight: Tensor) => { sum: Tensor; out: Tensor },
      ): Tensor[] => {
        const inputs = [
          device.tensor(x, [rows, dim]),
          device.tensor(others, [rows, dim]),
          device.tensor(weight),
        ].map((tensor) => tensor.requireGrad()) as [Tensor, Tensor, Tensor];
        const { sum, out } = fn(...inputs);
        // What goes on from the sum, too, as in a block.
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
  });

  test('gradients', async () => {
    await onCpu({ isa, threads: 2 }, async (device) => {
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

test('what does not fit is named', async () => {
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
