// Several heads in one call: their weights, their reductions, and rows without a target.
import type { Device } from '../../../lib/tensor/device';
import { linearCrossEntropyBackward } from '../../../lib/tensor/ops/loss/linear-cross-entropy';
import { isEmulated, openTarget, targets } from '../../support/devices';
import { expectAccurate, randomProblem, runLoss, upload } from '../../support/loss';
import { isValid, type LossProblem } from '../../support/loss-oracle';

const reductions = ['sum', 'mean', 'meanPerHead'] as const;

/** The rows of one head as a problem of its own. */
function headOf(problem: LossProblem, head: number): LossProblem {
  const rows = problem.rows / problem.heads!;
  const [from, to] = [head * rows, (head + 1) * rows];
  return {
    ...problem,
    ...{ rows, heads: 1, headWeights: problem.headWeights?.slice(head, head + 1) },
    hidden: problem.hidden.slice(from * problem.dim, to * problem.dim),
    targets: problem.targets.slice(from, to),
    coefficients: problem.coefficients?.slice(from, to),
  };
}

const zeros = (values: Float32Array): boolean => values.every((value) => value === 0);

describe.each(targets)('%s', (target) => {
  let device: Device;
  beforeAll(() => {
    device = openTarget(target);
  });
  afterAll(() => device.dispose());

  describe.each(reductions)('reduction %s', (reduction) => {
    test('no row has a target: zero loss, zero counts, zero gradients', async () => {
      const problem = randomProblem(1, { rows: 6, dim: 3, vocab: 5 }, { heads: 2, reduction });
      problem.targets.fill(-100);
      const run = await runLoss(device, problem);
      expect(run.total).toBe(0);
      expect(run.headCount).toEqual(Int32Array.of(0, 0));
      expect(run.argmax).toEqual(new Int32Array(6).fill(-1));
      expect(run.rank).toEqual(new Int32Array(6).fill(-1));
      const { headLoss, nll, lse, entropy, gradHidden, gradWeight, gradBias } = run;
      for (const values of [headLoss, nll, lse, entropy, gradHidden, gradWeight, gradBias]) {
        expect(zeros(values)).toBe(true);
      }
    });

    test.each([1, 3])('no rows at all, %i heads', async (heads) => {
      const run = await runLoss(
        device,
        randomProblem(2, { rows: 0, dim: 3, vocab: 5 }, { heads, reduction }),
      );
      expect(run.total).toBe(0);
      expect(run.headCount).toEqual(new Int32Array(heads));
      expect(run.headLoss).toEqual(new Float32Array(heads));
      expect(run.nll).toHaveLength(0);
      expect(zeros(run.gradWeight) && zeros(run.gradBias)).toBe(true);
    });

    test('one head without targets', async () => {
      const problem = randomProblem(3, { rows: 12, dim: 4, vocab: 9 }, { heads: 3, reduction });
      problem.targets.fill(-100, 4, 8);
      const run = await runLoss(device, problem);
      expectAccurate(run, problem);
      expect([run.headCount[1], run.headLoss[1]]).toEqual([0, 0]);
      expect(zeros(run.gradHidden.subarray(4 * 4, 8 * 4))).toBe(true);
    });

    test('a single valid row', async () => {
      const problem = randomProblem(4, { rows: 8, dim: 4, vocab: 9 }, { heads: 2, reduction });
      problem.targets.fill(-100);
      problem.targets[6] = 8;
      const run = await runLoss(device, problem);
      expectAccurate(run, problem);
      expect(run.headCount).toEqual(Int32Array.of(0, 1));
      expect(run.total).toBeCloseTo(problem.coefficients![6]! * run.nll[6]!, 5);
    });

    test.each([
      ['unequal', [1, 0.5, 0.25]],
      ['zero', [1, 0, 2]],
      ['all zero', [0, 0, 0]],
      ['negative', [1, -0.75, 0.3]],
    ])('head weights %s', async (_, headWeights) => {
      const problem = randomProblem(
        5,
        { rows: 21, dim: 5, vocab: 17 },
        { heads: 3, reduction, headWeights: Float32Array.from(headWeights) },
      );
      const run = await runLoss(device, problem);
      expectAccurate(run, problem);
      headWeights.forEach((weight, head) => {
        expect(zeros(run.gradHidden.subarray(head * 35, (head + 1) * 35))).toBe(weight === 0);
      });
    });

    test('heads with different numbers of valid rows', async () => {
      const problem = randomProblem(
        6,
        { rows: 24, dim: 5, vocab: 17 },
        { heads: 3, reduction, ignoreEvery: 0 },
      );
      problem.targets.fill(-100, 9, 16);
      problem.targets.fill(-100, 20, 22);
      const run = await runLoss(device, problem);
      expectAccurate(run, problem);
      expect(run.headCount).toEqual(Int32Array.of(8, 1, 6));
      const factors = { sum: [1, 1, 1], mean: [1 / 15, 1 / 15, 1 / 15], meanPerHead: [1 / 8, 1, 1 / 6] }[
        reduction
      ];
      const total = run.nll.reduce(
        (sum, nll, i) => sum + nll * problem.coefficients![i]! * factors[i >> 3]!,
        0,
      );
      expect(run.total).toBeCloseTo(total, 4);
    });
  });

  test('many heads in one call equal one call per head, to the bit', async () => {
    const headWeights = Float32Array.of(1, -0.5, 0.3, 2);
    const extras = { heads: 4, headWeights, reduction: 'sum', labelSmoothing: 0.1 } as const;
    const problem = randomProblem(11, { rows: 44, dim: 13, vocab: 37 }, extras);
    const together = await runLoss(device, problem);
    expectAccurate(together, problem);
    using gradWeight = device.zeros([37, 13]);
    using gradBias = device.zeros([37]);
    let total = 0;
    for (let head = 0; head < 4; head++) {
      const alone = headOf(problem, head);
      const run = await runLoss(device, alone);
      const rows = [head * 11, (head + 1) * 11] as const;
      expect(run.nll).toEqual(together.nll.slice(...rows));
      expect(run.argmax).toEqual(together.argmax.slice(...rows));
      expect(run.headLoss[0]).toBe(together.headLoss[head]);
      expect(run.gradHidden).toEqual(together.gradHidden.slice(rows[0] * 13, rows[1] * 13));
      total += run.total;
      const { hidden, weight, targets, options } = upload(device, alone);
      using lse = device.zeros([11]);
      linearCrossEntropyBackward(
        hidden,
        weight,
        targets,
        lse,
        { weight: gradWeight, bias: gradBias },
        options,
      );
    }
    expect(total).toBeCloseTo(together.total, 4);
    expect(await gradWeight.data()).toEqual(together.gradWeight);
    expect(await gradBias.data()).toEqual(together.gradBias);
  });

  test('the order of the heads does not matter', async () => {
    const headWeights = Float32Array.of(1, -0.5, 0.3);
    const problem = randomProblem(12, { rows: 30, dim: 8, vocab: 23 }, { heads: 3, headWeights });
    const order = [2, 0, 1];
    const parts = order.map((head) => headOf(problem, head));
    const join = (arrays: Float32Array[]): Float32Array =>
      Float32Array.from(arrays.flatMap((array) => [...array]));
    const reordered: LossProblem = {
      ...problem,
      headWeights: join(parts.map((part) => part.headWeights!)),
      hidden: join(parts.map((part) => part.hidden)),
      coefficients: join(parts.map((part) => part.coefficients!)),
      targets: Int32Array.from(parts.flatMap((part) => [...part.targets])),
    };
    const [run, other] = [await runLoss(device, problem), await runLoss(device, reordered)];
    expectAccurate(other, { ...reordered });
    expect([...other.headLoss]).toEqual(order.map((head) => run.headLoss[head]));
    expect([...other.headCount]).toEqual(order.map((head) => run.headCount[head]));
    expect(other.gradHidden).toEqual(
      join(order.map((head) => run.gradHidden.slice(head * 80, (head + 1) * 80))),
    );
  });

  test('heads look ahead within a document: rows without a target in it are ignored', async () => {
    // Two packed rows of 10 tokens; documents begin where `starts` says.
    const starts = [0, 0, 0, 0, 4, 4, 4, 4, 4, 4, 0, 0, 0, 0, 0, 0, 0, 7, 7, 9];
    const end = (t: number): number => {
      let last = t;
      while ((last + 1) % 10 !== 0 && starts[last + 1] === starts[t]) last++;
      return last;
    };
    const tokens = starts.map((_, t) => (t * 7) % 11);
    const targets = [1, 2, 3].flatMap((k) => tokens.map((_, t) => (t + k <= end(t) ? tokens[t + k]! : -100)));
    const problem = randomProblem(13, { rows: 60, dim: 4, vocab: 11 }, { heads: 3 });
    problem.targets.set(targets);
    const run = await runLoss(device, problem);
    expectAccurate(run, problem);
    // Documents of 4, 6, 7, 2 and 1 tokens: each has max(0, length - k) rows of head k.
    expect(run.headCount).toEqual(Int32Array.of(15, 11, 8));
  });

  test('coefficients scale each row alone: powers of two to the bit', async () => {
    const shape = { rows: 9, dim: 6, vocab: 21 };
    const extras = { ignoreEvery: 0, reduction: 'sum', entropyWeight: 0.2, zLoss: 0.01 } as const;
    const problem = randomProblem(14, shape, { ...extras, coefficients: undefined });
    const coefficients = Float32Array.of(1, 2, -4, 0.5, 0, -1, 1024, -0.125, 8);
    const plain = await runLoss(device, problem);
    const scaled = await runLoss(device, { ...problem, coefficients });
    expect(scaled.nll).toEqual(plain.nll);
    expect(scaled.headLoss).toEqual(plain.headLoss);
    scaled.gradHidden.forEach((value, i) => {
      expect(value + 0).toBe(plain.gradHidden[i]! * coefficients[Math.floor(i / 6)]! + 0);
    });
  });

  test('losses of many equal rows add up without rounding errors', async () => {
    const rows = isEmulated(target) ? 3000 : 300_000;
    const problem: LossProblem = {
      ...{ rows, dim: 1, vocab: 2, heads: 2, reduction: 'sum' },
      hidden: new Float32Array(rows).fill(1),
      weight: Float32Array.of(0, 0.3),
      targets: new Int32Array(rows),
    };
    const { total, headLoss, nll } = await runLoss(device, problem);
    // Plain float32 sums would be off by tens or thousands of roundings.
    const loss = Math.log1p(Math.exp(Math.fround(0.3)));
    expect(Math.abs(nll[0]! / loss - 1)).toBeLessThan(2 ** -22);
    expect(Math.abs(total / (rows * loss) - 1)).toBeLessThan(2 ** -22);
    for (const sum of headLoss) expect(Math.abs(sum / ((rows / 2) * loss) - 1)).toBeLessThan(2 ** -22);
  });

  describe('rows without a target', () => {
    test.each([-100, -1, 0, 3, 16, 2 ** 31 - 1, -(2 ** 31)])('ignoreIndex %i', async (ignoreIndex) => {
      const problem = randomProblem(15, { rows: 25, dim: 5, vocab: 17 }, { ignoreIndex, heads: 5 });
      const run = await runLoss(device, problem);
      expectAccurate(run, problem);
      expect(run.headCount.every((count) => count <= 4)).toBe(true);
    });

    test('the values of their hidden states do not matter', async () => {
      const problem = randomProblem(16, { rows: 23, dim: 7, vocab: 19 }, { labelSmoothing: 0.1, zLoss: 0.1 });
      const hidden = problem.hidden.map((value, i) => (isValid(problem, Math.floor(i / 7)) ? value : NaN));
      const coefficients = problem.coefficients!.map((value, i) => (isValid(problem, i) ? value : Infinity));
      const [run, other] = [
        await runLoss(device, problem),
        await runLoss(device, { ...problem, hidden, coefficients }),
      ];
      expect(other).toEqual(run);
    });

    test('the other rows give the same results as alone', async () => {
      const problem = randomProblem(17, { rows: 23, dim: 7, vocab: 19 }, { ignoreEvery: 2 });
      const valid = Array.from({ length: 23 }, (_, row) => row).filter((row) => isValid(problem, row));
      const packed: LossProblem = {
        ...problem,
        rows: valid.length,
        hidden: Float32Array.from(valid.flatMap((row) => [...problem.hidden.subarray(row * 7, row * 7 + 7)])),
        targets: Int32Array.from(valid, (row) => problem.targets[row]!),
        coefficients: Float32Array.from(valid, (row) => problem.coefficients![row]!),
      };
      const [run, alone] = [await runLoss(device, problem), await runLoss(device, packed)];
      expect(alone.total).toBe(run.total);
      expect(alone.gradWeight).toEqual(run.gradWeight);
      expect(alone.gradBias).toEqual(run.gradBias);
      expect([...alone.nll]).toEqual(valid.map((row) => run.nll[row]));
    });
  });
});
