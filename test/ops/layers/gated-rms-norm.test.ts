// The gated norm against its definition in float64. All its factors are products, so the error is relative to each element.
import { gatedRmsNorm } from '../../../lib/tensor/ops/layers/rms-norm';
import type { Tensor } from '../../../lib/tensor/tensor';
import { expectRoundedOnce, expectSameBits, expectWithinRoundings } from '../../support/accuracy';
import { allIsaLevels, onCpu } from '../../support/cpu';
import { bfloat16Targets, onAllVariants, onDevice, targets, type Target } from '../../support/devices';
import { foretokenError } from '../../support/errors';
import { representable, tensorOf } from '../../support/half';
import { Random } from '../../support/random';

const random = new Random(37);
const eps = 1e-6;

/** Rows, heads, dim: around vectors, warps and blocks, and more than one part of the work. */
const shapes = [
  [1, 1, 1],
  [3, 2, 7],
  [4, 3, 65],
  [5, 2, 16],
  [40, 8, 128],
  [3, 2, 515],
  [2, 2, 1024],
] as const;

interface Problem {
  shape: readonly [rows: number, heads: number, dim: number];
  x: Float32Array;
  gate: Float32Array;
  weight: Float32Array;
}

function problemOf(...shape: Problem['shape']): Problem {
  const [rows, heads, dim] = shape;
  const [x, gate] = [3, 6].map((size) =>
    representable(random.floats(rows * heads * dim, size), 'bfloat16'),
  ) as [Float32Array, Float32Array];
  return { shape, x, gate, weight: random.floats(dim, 2) };
}

function reference({ shape: [, , dim], x, gate, weight }: Problem): Float64Array {
  return Float64Array.from(x, (value, i) => {
    const first = i - (i % dim);
    const squares = x.subarray(first, first + dim).reduce((sum, other) => sum + other ** 2, 0);
    const normed = (value / Math.sqrt(squares / dim + eps)) * weight[i % dim]!;
    return (normed * gate[i]!) / (1 + Math.exp(-gate[i]!));
  });
}

async function run(
  target: Target,
  { shape: [rows, heads, dim], x, gate, weight }: Problem,
  dtype: 'float32' | 'bfloat16' = 'float32',
): Promise<Float32Array> {
  const [y] = await onAllVariants(target, (device) => {
    const [input, gates] = [x, gate].map((values) => tensorOf(device, values, [rows, heads * dim], dtype));
    const out = gatedRmsNorm(input!, gates!, device.tensor(weight), eps);
    return [dtype === 'float32' ? out : out.cast('float32')];
  });
  return y!;
}

describe.each([
  ...targets.map((target) => [target, 'float32'] as const),
  ...bfloat16Targets.map((target) => [target, 'bfloat16'] as const),
])('on %s in %s', (target, dtype) => {
  test.each(shapes)('%i rows of %i heads of %i', async (...shape) => {
    const problem = problemOf(...shape);
    const expectClose = dtype === 'float32' ? expectWithinRoundings : expectRoundedOnce;
    expectClose(await run(target, problem, dtype), reference(problem), 12);
  });

  test('a head has the same bits whatever heads and rows stand beside it', async () => {
    const problem = problemOf(40, 8, 128);
    const together = await run(target, problem, dtype);
    for (const head of [0, 13, 319]) {
      const part = (values: Float32Array): Float32Array => values.slice(head * 128, (head + 1) * 128);
      const alone = { ...problem, shape: [1, 1, 128] as const, x: part(problem.x), gate: part(problem.gate) };
      expectSameBits(await run(target, alone, dtype), part(together));
    }
  });

  test('a row has the same bits wherever each operand begins in memory', async () => {
    const { x, gate, weight } = problemOf(1, 2, 64);
    await onDevice(target, async (device) => {
      const at = async (...from: [x: number, gate: number, weight: number]): Promise<Float32Array> => {
        const placed = (values: Float32Array, i: number, type: 'float32' | 'bfloat16'): Tensor => {
          const room = new Float32Array(values.length + 8);
          room.set(values, from[i]);
          return tensorOf(device, room, [room.length], type).view(from[i]!, [values.length]);
        };
        const out = gatedRmsNorm(
          placed(x, 0, dtype),
          placed(gate, 1, dtype),
          placed(weight, 2, 'float32'),
          eps,
        );
        return (await out.cast('float32').data()) as Float32Array;
      };
      const aligned = await at(0, 0, 0);
      for (const from of [1, 2, 4]) {
        expectSameBits(await at(from, 0, 0), aligned);
        expectSameBits(await at(0, from, 0), aligned);
        expectSameBits(await at(0, 0, from), aligned);
      }
    });
  });
});

test.each(targets)('heads of zeros, of tiny and of large numbers, on %s', async (target) => {
  const problem = problemOf(2, 2, 31);
  for (const [head, size] of [0, 1e-18, 1e-3, 1e15].entries()) {
    for (let i = 0; i < 31; i++) problem.x[head * 31 + i]! *= size;
  }
  expectWithinRoundings(await run(target, problem), reference(problem), 12);
});

test.each([
  [40, 8, 128],
  [4, 3, 65],
  [3, 2, 515],
] as const)(
  '%i rows of %i heads of %i have the same bits on all levels with fused multiply-adds',
  async (rows, heads, dim) => {
    const problem = problemOf(rows, heads, dim);
    const levels = allIsaLevels.filter((isa) => process.arch !== 'x64' || isa !== 'baseline');
    const results: Float32Array[] = [];
    for (const isa of levels) results.push(await run(isa, problem));
    for (const result of results) expectSameBits(result, results[0]!);
  },
);

test('the result is not recorded', async () => {
  await onCpu({}, async (device) => {
    const [x, gate, weight] = [device.zeros([2, 6]), device.zeros([2, 6]), device.zeros([3])];
    const out = gatedRmsNorm(x.requireGrad(), gate.requireGrad(), weight.requireGrad(), eps);
    expect(out.requiresGrad).toBe(false);
    expect(() => out.backward(device.zeros([2, 6]))).toThrow(
      foretokenError('INVALID_ARGUMENT', 'backward', 'no recorded operation'),
    );
    await device.synchronize();
  });
});

test('arguments that do not match are named', async () => {
  await onCpu({}, async (device) => {
    const [x, weight] = [device.zeros([2, 6]), device.zeros([3])];
    const refused = (args: Parameters<typeof gatedRmsNorm>, ...words: string[]): void =>
      expect(() => gatedRmsNorm(...args)).toThrow(
        foretokenError(words[0] as never, 'gatedRmsNorm', ...words.slice(1)),
      );
    refused([x, device.zeros([2, 3]), weight, eps], 'SHAPE_MISMATCH', 'gate is [2, 3]', '[2, 6]');
    refused([x, x, device.zeros([4]), eps], 'SHAPE_MISMATCH', 'x is [2, 6]', 'multiple', 'weight, [4]');
    refused([x, x, device.zeros([0]), eps], 'SHAPE_MISMATCH', 'x is [2, 6]', 'multiple', 'weight, [0]');
    refused([x, x, device.zeros([1, 3]), eps], 'SHAPE_MISMATCH', 'weight is [1, 3]');
    refused([device.zeros([]), x, weight, eps], 'SHAPE_MISMATCH', 'x is []');
    refused([x, x, weight, -1], 'INVALID_ARGUMENT', 'eps', '-1');
    refused([x, x, weight, NaN], 'INVALID_ARGUMENT', 'eps', 'nan');
    await device.synchronize();
  });
});
