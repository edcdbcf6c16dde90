// Makes problems for linearCrossEntropy, reads back its results and compares them with the oracle.
import type { Device } from '../../lib/tensor/device';
import {
  linearCrossEntropy,
  type LinearCrossEntropyOptions,
  type LinearCrossEntropyResult,
} from '../../lib/tensor/ops/loss/linear-cross-entropy';
import { scope } from '../../lib/tensor/scope';
import type { Tensor } from '../../lib/tensor/tensor';
import { exact, expectAsGoodAsFloat32, float32, type Rounding } from './accuracy';
import { isaLevels, type Isa } from './cpu';
import { encode, nearest, type HalfDType } from './half';
import { lossOf, type LossProblem } from './loss-oracle';
import { memoize } from './memoize';
import { Random } from './random';

export const allOutputs = ['nll', 'lse', 'entropy', 'argmax', 'rank'] as const;
export type LossOutput = (typeof allOutputs)[number];

export const bestIsa: Isa = isaLevels[0]!;

type Shape = Pick<LossProblem, 'rows' | 'dim' | 'vocab'>;
type Extras = Omit<Partial<LossProblem>, keyof Shape> & {
  /** Largest absolute value of a logit's terms, summed. Default 6. */
  spread?: number;
  /** One row in this many is ignored. Default 5; 0 ignores none. */
  ignoreEvery?: number;
};

/** Random hidden states, weights, bias, row coefficients and targets, some of them ignored. */
export function randomProblem(seed: number, shape: Shape, extras: Extras = {}): LossProblem {
  const random = new Random(seed);
  const { rows, dim, vocab } = shape;
  const { spread = 6, ignoreEvery = 5, ...given } = extras;
  const { ignoreIndex = -100 } = given;
  const targets = Int32Array.from({ length: rows }, (_, row) => {
    const target = random.integer(vocab);
    return ignoreEvery > 0 && row % ignoreEvery === ignoreEvery - 1 ? ignoreIndex : target;
  });
  const hidden = random.floats(rows * dim);
  const weight = random.floats(vocab * dim, (2 * spread) / Math.sqrt(dim));
  const bias = random.floats(vocab);
  const coefficients = random.floats(rows, 2);
  return { ...shape, hidden, weight, bias, coefficients, targets, ...given };
}

/** A problem as tensors; hidden, weight and bias require gradients. */
export interface LossInputs {
  hidden: Tensor;
  weight: Tensor;
  targets: Tensor;
  options: LinearCrossEntropyOptions;
}

/** The types of hidden states and weight. Default float32. */
export interface LossDTypes {
  hidden?: 'float32' | HalfDType;
  weight?: 'float32' | HalfDType;
}

export function upload(device: Device, problem: LossProblem, dtypes: LossDTypes = {}): LossInputs {
  const { rows, dim, vocab } = problem;
  const matrix = (name: keyof LossDTypes, shape: number[]): Tensor => {
    const [values, dtype = 'float32'] = [problem[name], dtypes[name]];
    return dtype === 'float32'
      ? device.tensor(values, shape)
      : device.tensor(encode(values, dtype), shape, dtype);
  };
  const vector = (values?: Float32Array): Tensor | undefined => (values ? device.tensor(values) : undefined);
  const { heads, reduction, ignoreIndex, labelSmoothing, zLoss, entropyWeight, softcap } = problem;
  return {
    hidden: matrix('hidden', [rows, dim]).requireGrad(),
    weight: matrix('weight', [vocab, dim]).requireGrad(),
    targets: device.tensor(problem.targets),
    options: {
      ...{ heads, reduction, ignoreIndex, labelSmoothing, zLoss, entropyWeight, softcap },
      bias: vector(problem.bias)?.requireGrad(),
      coefficients: vector(problem.coefficients),
      headWeights: vector(problem.headWeights),
    },
  };
}

/** Results on the host. */
export interface LossRun {
  total: number;
  headLoss: Float32Array;
  headCount: Int32Array;
  nll: Float32Array;
  lse: Float32Array;
  entropy: Float32Array;
  argmax: Int32Array;
  rank: Int32Array;
  gradHidden: Float32Array;
  gradWeight: Float32Array;
  gradBias: Float32Array;
}

const read = async (tensor: Tensor | null | undefined): Promise<never> => (await tensor?.data()) as never;

export async function readBack(
  result: LinearCrossEntropyResult,
  gradients: { hidden?: Tensor | null; weight?: Tensor | null; bias?: Tensor | null },
): Promise<LossRun> {
  const run = {
    total: await result.loss.item(),
    headLoss: await read(result.headLoss),
    headCount: await read(result.headCount),
    ...{ nll: await read(result.nll), lse: await read(result.lse), entropy: await read(result.entropy) },
    ...{ argmax: await read(result.argmax), rank: await read(result.rank) },
    gradHidden: await read(gradients.hidden),
    gradWeight: await read(gradients.weight),
    gradBias: await read(gradients.bias),
  };
  const { loss, headLoss, headCount, nll, lse, entropy, argmax, rank } = result;
  const { hidden, weight, bias } = gradients;
  for (const tensor of [loss, headLoss, headCount, nll, lse, entropy, argmax, rank, hidden, weight, bias]) {
    tensor?.dispose();
  }
  return run;
}

/** Runs the op with all outputs, and its backward pass unless `gradients` is false. */
export async function runLoss(
  device: Device,
  problem: LossProblem,
  how: { dtypes?: LossDTypes; chunkRows?: number; gradients?: boolean; outputs?: readonly LossOutput[] } = {},
): Promise<LossRun> {
  const { result, gradients } = scope(() => {
    const { hidden, weight, targets, options } = upload(device, problem, how.dtypes);
    if (how.gradients === false) {
      for (const leaf of [hidden, weight, options.bias]) if (leaf) leaf.requiresGrad = false;
    }
    const { chunkRows, outputs = allOutputs } = how;
    const { loss, ...others } = linearCrossEntropy(hidden, weight, targets, {
      ...options,
      chunkRows,
      outputs,
    });
    if (how.gradients ?? true) loss.backward();
    const gradients = { hidden: hidden.grad, weight: weight.grad, bias: options.bias?.grad };
    return { result: { loss: loss.detach(), ...others }, gradients };
  });
  return readBack(result, gradients);
}

/** How often the device rounds gradients of logits to bfloat16 on their way into those of hidden states and weight. */
export type Roundings = 0 | 1 | 2;

/** How often a device rounds them if it keeps logits, not exponentials. */
export function roundingsOfGradients(device: Device, dtypes: LossDTypes): Roundings {
  const both = dtypes.hidden === 'bfloat16' && dtypes.weight === 'bfloat16';
  return both && device.computesIn('bfloat16') ? 1 : 0;
}

const toBFloat16 = (x: number): number => nearest(Math.fround(x), 'bfloat16');
/** Two roundings are at different scales, because a factor is multiplied in between. */
const roundGradient: Record<Roundings, Rounding> = {
  0: float32,
  1: toBFloat16,
  2: (x) => toBFloat16(toBFloat16(1.37 * x) / 1.37),
};

/** The results of float64 arithmetic. */
export const oracleOf = memoize((problem: LossProblem) => lossOf(problem, exact));
const plainOf = memoize((problem: LossProblem, roundings: Roundings) =>
  lossOf(problem, float32, roundGradient[roundings]),
);

const rowOutputs = ['nll', 'lse', 'entropy'] as const;
const sums = ['total', 'headLoss', 'gradHidden', 'gradWeight', 'gradBias'] as const;

/**
 * Expects every result to be as exact as plain float32 arithmetic. Errors of sums are measured relative to the sum of the
 * terms' absolute values, so that small elements count as much as large ones.
 * @param roundings how often gradients of logits may be rounded to bfloat16
 */
export function expectAccurate(run: LossRun, problem: LossProblem, roundings: Roundings = 0): void {
  const [oracle, plain] = [oracleOf(problem), plainOf(problem, roundings)];
  expect(run.headCount).toEqual(oracle.headCount);
  expect(run.argmax).toEqual(oracle.argmax);
  expect(run.rank).toEqual(oracle.rank);
  for (const name of rowOutputs) expectAsGoodAsFloat32(run[name], oracle[name], plain[name]);
  for (const name of sums) {
    const actual = name === 'total' ? [run.total] : run[name];
    if (actual) expectSum(actual, oracle[name].values, plain[name].values, oracle[name].scales);
  }
}

type Values = ArrayLike<number>;

/** Expects sums to be as exact as plain float32 arithmetic, relative to the sum of the terms' absolute values. */
export function expectSum(actual: Values, oracle: Values, plain: Values, unit: Values): void {
  const relative = (values: Values): number[] => [
    ...Array.from(values, (value, i) => (unit[i] === 0 && value === 0 ? 0 : value / unit[i]!)),
    1, // the magnitude to which the allowed last bits are relative
  ];
  expectAsGoodAsFloat32(relative(actual), relative(oracle), relative(plain));
}

/**
 * Expects that chunks change no bit. The exception is the gradient of a bfloat16 weight on compute capability 9.0, to which the
 * copy engine adds chunk by chunk: `good` must then check the accuracy of the run.
 */
export function expectSameChunks(device: Device, actual: LossRun, whole: LossRun, good: () => void): void {
  if (!device.description.includes('compute capability 9.0')) {
    expectSameRun(actual, whole);
    return;
  }
  const { gradWeight: _, ...others } = whole;
  expectSameRun(actual, others);
  good();
}

/** Expects every result in `expected` to have the same bits. */
export function expectSameRun(actual: LossRun, expected: Partial<LossRun> & Pick<LossRun, 'total'>): void {
  const { total, ...arrays } = expected;
  expect(actual.total).toBe(total);
  for (const name of Object.keys(arrays) as (keyof typeof arrays)[]) {
    if (!expected[name]) expect(actual[name]).toBe(expected[name]);
    if (!expected[name]) continue;
    const [a, b] = [actual[name], expected[name]].map((x) =>
      Buffer.from(x.buffer, x.byteOffset, x.byteLength),
    );
    if (!a!.equals(b!)) expect(actual[name]).toEqual(expected[name]);
    expect(a!.equals(b!)).toBe(true);
  }
}
