// Every pair of types of hidden states and weight, and the type of the gradient of hidden states.
import {
  linearCrossEntropy,
  linearCrossEntropyBackward,
} from '../../../lib/tensor/ops/loss/linear-cross-entropy';
import { expectWithinRoundings } from '../../support/accuracy';
import { onDevice, onEachVariant, targets } from '../../support/devices';
import { decode, nearest, representable } from '../../support/half';
import { expectAccurate, randomProblem, roundingsOfGradients, runLoss, upload } from '../../support/loss';
import type { LossProblem } from '../../support/loss-oracle';

const dtypes = ['float32', 'bfloat16', 'float16'] as const;
type FloatDType = (typeof dtypes)[number];
const pairs = dtypes.flatMap((hidden) => dtypes.map((weight) => ({ hidden, weight })));

const rounded = (values: Float32Array, dtype: FloatDType): Float32Array =>
  dtype === 'float32' ? values : representable(values, dtype);

type Problem = Parameters<typeof randomProblem>[1];
function problemIn(
  types: { hidden: FloatDType; weight: FloatDType },
  shape: Problem,
  extras: Parameters<typeof randomProblem>[2] = {},
): LossProblem {
  const problem = randomProblem(9, shape, { labelSmoothing: 0.1, ...extras });
  const { hidden, weight } = problem;
  return { ...problem, hidden: rounded(hidden, types.hidden), weight: rounded(weight, types.weight) };
}

const byTypes = pairs.map((types) => ({
  ...types,
  problem: problemIn(types, { rows: 11, dim: 37, vocab: 71 }),
}));

const bfloat16 = { hidden: 'bfloat16', weight: 'bfloat16' } as const;
/** Sizes around vectors of 16 bytes, tiles and strips. */
const inBFloat16 = [
  { rows: 1, dim: 1, vocab: 1 },
  { rows: 3, dim: 8, vocab: 64 },
  { rows: 16, dim: 16, vocab: 65 },
  { rows: 17, dim: 31, vocab: 63 },
  { rows: 65, dim: 32, vocab: 129 },
  { rows: 47, dim: 33, vocab: 200 },
  { rows: 3, dim: 8, vocab: 12_301 },
].map((shape) => ({ ...shape, problem: problemIn(bfloat16, shape) }));

const everything = { labelSmoothing: 0.2, zLoss: 0.01, entropyWeight: 0.4, softcap: 5 };
const severalHeads = problemIn(
  bfloat16,
  { rows: 36, dim: 16, vocab: 40 },
  { ...everything, heads: 3, headWeights: Float32Array.of(1, -0.5, 2), reduction: 'meanPerHead' },
);

describe.each(targets)('%s', (target) => {
  test.each(byTypes)('$hidden hidden states, $weight weight', async ({ problem, ...types }) => {
    await onDevice(target, async (device) => {
      const run = await runLoss(device, problem, { dtypes: types });
      expectAccurate(run, problem, roundingsOfGradients(device, types));
    });
  });

  test.each(inBFloat16)('bfloat16: $rows rows, dim $dim, vocabulary $vocab', async ({ problem }) => {
    await onEachVariant(target, async (device) => {
      const run = await runLoss(device, problem, { dtypes: bfloat16 });
      expectAccurate(run, problem, roundingsOfGradients(device, bfloat16));
    });
  });

  test('bfloat16 with all options and several heads', async () => {
    await onDevice(target, async (device) => {
      const run = await runLoss(device, severalHeads, { dtypes: bfloat16, chunkRows: 16 });
      expectAccurate(run, severalHeads, roundingsOfGradients(device, bfloat16));
    });
  });

  test('a gradient of hidden states in bfloat16 is the float32 one, rounded', async () => {
    const problem = problemIn(bfloat16, { rows: 23, dim: 21, vocab: 50 });
    await onDevice(target, async (device) => {
      const { gradHidden } = await runLoss(device, problem, { dtypes: bfloat16 });
      const { hidden, weight, targets: tokens, options } = upload(device, problem, bfloat16);
      const nans = new Uint16Array(hidden.size).fill(0x7fc0);
      const gradient = device.tensor(nans, hidden.shape, 'bfloat16'); // overwritten
      const lse = device.zeros([problem.rows]);
      linearCrossEntropyBackward(hidden, weight, tokens, lse, { hidden: gradient }, options);
      const bits = (await gradient.data()) as unknown as Uint16Array;
      const expected = gradHidden.map((value) => nearest(value, 'bfloat16'));
      expect(decode(bits, 'bfloat16')).toEqual(expected);
    });
  });

  // Logits of 16-bit inputs are float32; only the inputs are rounded.
  test.each(['bfloat16', 'float16'] as const)('%s logits are not rounded', async (dtype) => {
    const problem = problemIn({ hidden: dtype, weight: dtype }, { rows: 1, dim: 2, vocab: 2 });
    problem.hidden.set([1, 1]);
    problem.weight.set([8, 2 ** -6, 0, 0]);
    problem.bias!.fill(0);
    problem.targets[0] = 0;
    await onDevice(target, async (device) => {
      const { hidden, weight, targets: tokens } = upload(device, problem, { hidden: dtype, weight: dtype });
      const { lse } = linearCrossEntropy(hidden, weight, tokens, { outputs: ['lse'] });
      const logit = 8 + 2 ** -6;
      expectWithinRoundings(await lse!.data(), [logit + Math.log1p(Math.exp(-logit))], 2);
    });
  });
});
