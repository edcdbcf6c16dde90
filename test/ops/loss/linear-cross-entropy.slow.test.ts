// The loss at real sizes: real vocabularies, hundreds of rows, eight heads.
import { linearCrossEntropy } from '../../../lib/tensor/ops/loss/linear-cross-entropy';
import { scope } from '../../../lib/tensor/scope';
import { exact, expectAsGoodAsFloat32, float32 } from '../../support/accuracy';
import { isaLevels, onCpu } from '../../support/cpu';
import { representable } from '../../support/half';
import {
  largeLossOf,
  largeProblem,
  type LargeLoss,
  type LargeProblem,
  type Sampled,
} from '../../support/large-loss';
import {
  allOutputs,
  bestIsa,
  expectSameRun,
  expectSum,
  runLoss,
  upload,
  type LossRun,
} from '../../support/loss';
import { lossOf } from '../../support/loss-oracle';

interface Expected {
  problem: LargeProblem;
  sample: { rows: number[]; tokens: number[] };
  oracle: LargeLoss;
  plain: LargeLoss;
}

/** The results of the oracle and of plain float32 logits, with gradients of a sample of rows and tokens. */
function expectedOf(problem: LargeProblem): Expected {
  const { rows, vocab, targets } = problem;
  const spread = (count: number, of: number): number[] =>
    Array.from({ length: count }, (_, i) => Math.floor((i * (of - 1)) / (count - 1)));
  const tokens = [...spread(16, vocab), ...spread(8, rows).map((row) => Math.max(0, targets[row]!))];
  const sample = { rows: spread(6, rows), tokens };
  return {
    ...{ problem, sample },
    oracle: largeLossOf(problem, exact, sample),
    plain: largeLossOf(problem, float32, sample),
  };
}

function pick(matrix: Float32Array, rows: readonly number[], dim: number): Float32Array {
  const picked = new Float32Array(rows.length * dim);
  rows.forEach((row, i) => picked.set(matrix.subarray(row * dim, (row + 1) * dim), i * dim));
  return picked;
}

function expectAccurate(run: LossRun, { problem, sample, oracle, plain }: Expected): void {
  expect(run.headCount).toEqual(oracle.headCount);
  expect(run.argmax).toEqual(oracle.argmax);
  // Among so many tokens, the logits of some are so near the target's that float32 cannot order them.
  const apart = run.rank.map((rank, row) => Math.abs(rank - oracle.rank[row]!));
  expect(Math.max(...apart)).toBeLessThanOrEqual(2);
  for (const name of ['nll', 'lse', 'entropy'] as const) {
    expectAsGoodAsFloat32(run[name], oracle[name], plain[name]);
  }
  const sum = (actual: ArrayLike<number>, name: 'total' | 'headLoss' | 'gradBias'): void =>
    expectSum(actual, oracle[name].values, plain[name].values, oracle[name].scales);
  sum([run.total], 'total');
  sum(run.headLoss, 'headLoss');
  sum(run.gradBias, 'gradBias');
  const gradient = (actual: Float32Array, of: Sampled, plainly: Sampled): void =>
    expectSum(actual, of.values, plainly.values, of.scales);
  gradient(pick(run.gradHidden, sample.rows, problem.dim), oracle.gradHidden, plain.gradHidden);
  gradient(pick(run.gradWeight, sample.tokens, problem.dim), oracle.gradWeight, plain.gradWeight);
}

const everything = { labelSmoothing: 0.1, zLoss: 0.02, entropyWeight: 0.3 };

test('the oracle of large problems agrees with that of small ones', () => {
  const problem = largeProblem(
    1,
    { rows: 12, dim: 3, vocab: 7, states: 4 },
    { ...everything, heads: 2, headWeights: Float32Array.of(0.5, 2), reduction: 'meanPerHead' },
  );
  const all = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
  const actual = largeLossOf(problem, exact, { rows: all(12), tokens: all(7) });
  const expected = lossOf(problem, exact);
  for (const name of ['headCount', 'argmax', 'rank'] as const) expect(actual[name]).toEqual(expected[name]);
  for (const name of ['nll', 'lse', 'entropy'] as const) {
    expected[name].forEach((value, i) => expect(actual[name][i]).toBeCloseTo(value, 12));
  }
  for (const name of ['total', 'headLoss', 'gradBias', 'gradHidden', 'gradWeight'] as const) {
    expected[name].values.forEach((value, i) => expect(actual[name].values[i]).toBeCloseTo(value, 12));
  }
});

describe('a vocabulary of 32000 and 512 dimensions', () => {
  const size = { rows: 512, dim: 512, vocab: 32_000, states: 16 };
  const oneHead = largeProblem(2, size, everything);
  const eightHeads = largeProblem(
    2,
    { ...size, rows: 8 * 512 },
    {
      // The same unembedding.
      ...{ weight: oneHead.weight, bias: oneHead.bias, heads: 8, reduction: 'meanPerHead' },
      headWeights: Float32Array.of(1, 0.5, 0.25, -1, 2, 0, 1, 3),
    },
  );

  test.each(isaLevels)('one head of 512 rows on %s', async (isa) => {
    const run = await onCpu({ isa, threads: 2 }, (device) => runLoss(device, oneHead));
    expectAccurate(run, (expectedOfOne ??= expectedOf(oneHead)));
  });
  let expectedOfOne: Expected | undefined;

  test('eight heads of 512 rows', async () => {
    const run = await onCpu({ isa: bestIsa, threads: 2 }, (device) => runLoss(device, eightHeads));
    expectAccurate(run, expectedOf(eightHeads));
  });

  test('chunks and threads change no bit', async () => {
    const run = (threads: number, chunkRows?: number): Promise<LossRun> =>
      onCpu({ isa: bestIsa, threads }, (device) => runLoss(device, oneHead, { chunkRows }));
    const alone = await run(1);
    expectSameRun(await run(2), alone);
    expectSameRun(await run(3, 100), alone);
    expectSameRun(await run(4, 511), alone);
  });

  test('scratch is at most 64 MiB, and the same for one head and for eight', async () => {
    const scratchOf = (problem: LargeProblem, gradients: boolean): Promise<number> =>
      onCpu({ isa: bestIsa, threads: 2 }, async (device) => {
        const scratch = scope(() => {
          const { hidden, weight, targets, options } = upload(device, problem);
          hidden.requiresGrad = weight.requiresGrad = options.bias!.requiresGrad = gradients;
          device.resetPeak();
          const before = device.memory().live;
          linearCrossEntropy(hidden, weight, targets, { ...options, outputs: allOutputs });
          const after = device.memory();
          expect(after.live).toBeGreaterThan(before); // outputs, and gradients if they are wanted
          return after.peak - after.live;
        });
        await device.synchronize();
        return scratch;
      });
    for (const gradients of [false, true]) {
      const one = await scratchOf(oneHead, gradients);
      expect(one).toBeGreaterThan(2 ** 24);
      expect(one).toBeLessThanOrEqual(2 ** 26);
      expect(await scratchOf(eightHeads, gradients)).toBe(one);
    }
  });
});

describe.each([32_003, 50_257])('a vocabulary of %i, not a multiple of any tile', (vocab) => {
  const problem = largeProblem(3, { rows: 301, dim: 61, vocab, states: 24 }, { ...everything, heads: 7 });

  test.each(isaLevels)('in float32 on %s', async (isa) => {
    const run = await onCpu({ isa, threads: 3 }, (device) => runLoss(device, problem));
    expectAccurate(run, (expected ??= expectedOf(problem)));
  });
  let expected: Expected | undefined;

  const halves = (): LargeProblem => ({
    ...problem,
    hidden: representable(problem.hidden, 'bfloat16'),
    states: representable(problem.states, 'bfloat16'),
    weight: representable(problem.weight, 'bfloat16'),
  });
  const dtypes = { hidden: 'bfloat16', weight: 'bfloat16' } as const;
  let expectedOfHalves: Expected | undefined;
  test.each(isaLevels)('in bfloat16 on %s', async (isa) => {
    expectedOfHalves ??= expectedOf(halves());
    const half = expectedOfHalves.problem;
    const run = await onCpu({ isa, threads: 2 }, (device) => runLoss(device, half, { dtypes }));
    expectAccurate(run, expectedOfHalves);
  });
});
