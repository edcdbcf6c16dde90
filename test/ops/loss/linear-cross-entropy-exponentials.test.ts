// Gradients from exponentials: GPUs with wgmma write neither logits nor their gradients if hidden states and weight are
// bfloat16, a gradient is its exponential times a factor of the row, and no ranks are asked for.
import type { Device } from '../../../lib/tensor/device';
import { bfloat16Targets, isEmulated, onEachVariant } from '../../support/devices';
import { representable } from '../../support/half';
import {
  expectAccurate,
  expectSameChunks,
  oracleOf,
  randomProblem,
  runLoss,
  type LossRun,
} from '../../support/loss';
import type { LossProblem } from '../../support/loss-oracle';
import { Random } from '../../support/random';

const dtypes = { hidden: 'bfloat16', weight: 'bfloat16' } as const;
const outputs = ['nll', 'lse', 'entropy', 'argmax'] as const;

function inBFloat16(problem: LossProblem): LossProblem {
  const [hidden, weight] = [problem.hidden, problem.weight].map((values) =>
    representable(values, 'bfloat16'),
  );
  return { ...problem, hidden: hidden!, weight: weight! };
}

const run = (device: Device, problem: LossProblem, chunkRows?: number): Promise<LossRun> =>
  runLoss(device, problem, { dtypes, outputs, chunkRows });

/** Two roundings to bfloat16: of the exponentials, and of the hidden states times their row's factor. */
function expectGood(actual: LossRun, problem: LossProblem): void {
  expect(actual.rank ?? null).toBeNull();
  expectAccurate({ ...actual, rank: oracleOf(problem).rank }, problem, 2);
}

const shapes = [
  { rows: 3, dim: 8, vocab: 64 },
  { rows: 17, dim: 16, vocab: 65 },
  { rows: 65, dim: 72, vocab: 129 },
  { rows: 47, dim: 40, vocab: 200 },
  { rows: 140, dim: 24, vocab: 300 },
  { rows: 5, dim: 8, vocab: 12_301 },
];
const terms = {
  plain: {},
  'z-loss': { zLoss: 0.02 },
  softcap: { softcap: 3 },
  both: { zLoss: 0.01, softcap: 5 },
};

describe.each(bfloat16Targets)('%s', (target) => {
  test.each(
    shapes.flatMap((shape) =>
      Object.keys(terms).map((name) => ({ ...shape, name: name as keyof typeof terms })),
    ),
  )('$rows rows, dim $dim, vocabulary $vocab, $name', async ({ name, ...shape }) => {
    const problem = inBFloat16(randomProblem(5, shape, terms[name]));
    await onEachVariant(target, async (device) => expectGood(await run(device, problem), problem));
  });

  test('heads with weights, ignored rows and chunks of any size', async () => {
    const problem = inBFloat16(
      randomProblem(
        6,
        { rows: 96, dim: 24, vocab: 150 },
        { heads: 3, headWeights: Float32Array.of(1, -0.5, 0), reduction: 'meanPerHead' },
      ),
    );
    await onEachVariant(target, async (device) => {
      const whole = await run(device, problem);
      expectGood(whole, problem);
      for (const chunkRows of isEmulated(target)
        ? [1, 31, 48, 1000]
        : [1, 2, 15, 16, 17, 31, 48, 64, 95, 1000]) {
        const actual = await run(device, problem, chunkRows);
        expectSameChunks(device, actual, whole, () => expectGood(actual, problem));
      }
    });
  });

  test.each([
    ['10⁴ added to all logits', (bias: Float32Array) => bias.fill(1e4)],
    ['logits near the end of the range', (bias: Float32Array) => bias.fill(-80_000)],
    [
      'strips far below the others',
      (bias: Float32Array) => bias.forEach((_, j) => (bias[j] = -2 * (j >> 6) ** 3)),
    ],
    ['strips of probability 0', (bias: Float32Array) => bias.fill(-Infinity, 64, 192)],
    ['strips that rise', (bias: Float32Array) => bias.forEach((_, j) => (bias[j] = j / 4))],
  ])('%s', async (_, change) => {
    const vocab = 600;
    const problem = inBFloat16(randomProblem(7, { rows: 12, dim: 16, vocab }, { reduction: 'sum' }));
    // The targets lie in strips of every kind.
    problem.targets = Int32Array.from({ length: 12 }, (_, row) => [3, 250, 599, 300][row % 4]!);
    problem.bias = new Float32Array(vocab);
    change(problem.bias);
    await onEachVariant(target, async (device) => expectGood(await run(device, problem), problem));
  });

  test('NaN in a hidden state stays in its row, except in sums over rows', async () => {
    const problem = inBFloat16(randomProblem(8, { rows: 9, dim: 8, vocab: 100 }));
    const bad = { ...problem, hidden: problem.hidden.slice() };
    bad.hidden[4 * 8] = NaN;
    problem.targets[4] = -100; // gives the expected results of the other rows
    bad.targets = problem.targets.slice();
    bad.targets[4] = 7;
    await onEachVariant(target, async (device) => {
      const [good, other] = [await run(device, problem), await run(device, bad)];
      expect([...other.gradHidden.subarray(32, 40)]).toEqual(new Array(8).fill(NaN));
      expect(other.nll[4]).toBeNaN();
      expect(other.nll[5]).toBe(good.nll[5]);
      expect([...other.gradWeight].every(Number.isNaN)).toBe(true);
    });
  });

  test('a row with coefficient 0 adds nothing', async () => {
    const random = new Random(3);
    const problem = inBFloat16(randomProblem(9, { rows: 20, dim: 8, vocab: 70 }, { reduction: 'sum' }));
    problem.coefficients = Float32Array.from({ length: 20 }, (_, row) =>
      row % 3 === 0 ? 0 : random.integer(9) - 4,
    );
    await onEachVariant(target, async (device) => {
      const actual = await run(device, problem);
      expectGood(actual, problem);
      expect([...actual.gradHidden.subarray(0, 8)].every((x) => x === 0)).toBe(true);
    });
  });
});
