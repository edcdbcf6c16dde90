// Logits and probabilities at the ends of their ranges.
import type { Device } from '../../../lib/tensor/device';
import { isEmulated, openTarget, targets } from '../../support/devices';
import { representable } from '../../support/half';
import {
  expectAccurate,
  oracleOf,
  expectSameRun,
  randomProblem,
  roundingsOfGradients,
  runLoss,
  type LossRun,
} from '../../support/loss';
import type { LossProblem } from '../../support/loss-oracle';
import { Random } from '../../support/random';

/** A problem whose logits are exactly `rows`: each hidden state selects its logits from the weight. */
function problemOf(
  rows: readonly (readonly number[])[],
  targets: readonly number[],
  extras = {},
): LossProblem {
  const [count, vocab] = [rows.length, rows[0]!.length];
  const hidden = new Float32Array(count * count);
  const weight = new Float32Array(vocab * count);
  rows.forEach((logits, row) => {
    hidden[row * count + row] = 1;
    logits.forEach((logit, j) => (weight[j * count + row] = logit));
  });
  const shape = { rows: count, dim: count, vocab };
  return { ...shape, hidden, weight, targets: Int32Array.from(targets), reduction: 'sum', ...extras };
}

/** Multiples of 1/64, which float32 adds to 10⁴ without rounding. */
function coarseLogits(seed: number, count: number): number[] {
  const random = new Random(seed);
  return Array.from({ length: count }, () => random.integer(512) / 64 - 4);
}

/** Rows whose largest logit stands at the first column, the last, or beside a border of vectors or blocks. */
function borders(): { places: number[]; problem: LossProblem } {
  const vocab = 2075;
  const places = [0, 1, 15, 16, 31, 32, 1023, 1024, 1025, 2047, 2048, 2063, 2064, 2074];
  const rows = places.map((_, i) => coarseLogits(10 + i, vocab));
  places.forEach((place, i) => (rows[i]![place] = 5));
  return { places, problem: problemOf(rows, [...places.slice(3), ...places.slice(0, 3)]) };
}
const anywhere = borders();

describe.each(targets)('%s', (target) => {
  let device: Device;
  beforeAll(() => {
    device = openTarget(target);
  });
  afterAll(() => device.dispose());

  /** Runs the loss with gradients, and expects the same statistics without gradients. */
  const run = async (problem: LossProblem): Promise<LossRun> => {
    const { gradHidden, gradWeight, gradBias, ...others } = await runLoss(device, problem);
    expectSameRun(await runLoss(device, problem, { gradients: false }), others);
    return { gradHidden, gradWeight, gradBias, ...others };
  };

  test.each([0.5, 0.9, 0.99, 0.999, 0.999999, 1 - 1e-9, 1 - 1e-13])('p(target) near %p', async (p) => {
    const vocab = 1000;
    const logit = Math.round(64 * Math.log((p / (1 - p)) * (vocab - 1))) / 64;
    const bias = new Float32Array(vocab);
    bias[137] = logit;
    const problem = problemOf([new Array<number>(vocab).fill(0)], [137], { bias });
    const result = await run(problem);
    const oracle = oracleOf(problem);
    // Errors are relative to the values, which are small: a rounded p - 1 would be off by 6e-8 / (1 - p).
    for (const name of ['gradBias', 'nll', 'entropy'] as const) {
      const expected = name === 'gradBias' ? oracle.gradBias.values : oracle[name];
      result[name].forEach((value, i) => expect(Math.abs(value / expected[i]! - 1)).toBeLessThan(3e-6));
    }
    expect(result.total).toBe(result.nll[0]);
  });

  test.each([1e4, -1e4])('%f added to all logits changes only lse', async (offset) => {
    const logits = [coarseLogits(1, 45), coarseLogits(2, 45), coarseLogits(3, 45)];
    const extras = { labelSmoothing: 0.1, entropyWeight: 0.3 };
    const plain = await run(problemOf(logits, [0, 44, 7], extras));
    const moved = await run(
      problemOf(
        logits.map((row) => row.map((logit) => logit + offset)),
        [0, 44, 7],
        extras,
      ),
    );
    const { lse, gradHidden: _, ...others } = plain;
    expect(moved).toMatchObject(others);
    lse.forEach((value, i) => expect(moved.lse[i]).toBe(Math.fround(Math.fround(value) + offset)));
  });

  test('logits beyond the range of float16, and far apart from each other', async () => {
    const problem = problemOf(
      [
        [7e4, 7e4 - 1, -7e4, 0],
        [-3e5, -3e5, -4e5, -5e5],
        [1e30, -1e30, 0, 1],
        [3e38, 2e38, -3e38, 0],
      ],
      [1, 0, 1, 3],
      { entropyWeight: 1 },
    );
    const result = await run(problem);
    expectAccurate(result, problem);
    expect(result.nll[2]).toBe(Math.fround(2e30));
    expect(result.gradHidden.every(Number.isFinite)).toBe(true);
  });

  test.each([1, 2, 15, 16, 17, 33, 1500])('%i identical logits', async (vocab) => {
    for (const logit of [0, -1e4, 1e4, -3e38]) {
      const targets = [0, vocab - 1, vocab >> 1];
      const problem = problemOf(
        targets.map(() => new Array<number>(vocab).fill(logit)),
        targets,
        { labelSmoothing: 0.3, entropyWeight: 0.2 },
      );
      const result = await run(problem);
      expectAccurate(result, problem);
      // Padding after the row in memory is never the largest logit and is never counted.
      expect(result.argmax).toEqual(Int32Array.of(0, 0, 0));
      expect(result.rank).toEqual(Int32Array.from(targets));
      for (const nll of result.nll) expect(nll).toBeCloseTo(Math.log(vocab), 5);
    }
  });

  test('ties go to the lowest id', async () => {
    const problem = problemOf(
      [
        [1, 3, 3, 2, 3],
        [1, 3, 3, 2, 3],
        [1, 3, 3, 2, 3],
        [5, 5, 1, 1, 1],
        [-1, -1, -2, -1, -1],
      ],
      [1, 4, 3, 4, 1],
    );
    const result = await run(problem);
    expect(result.argmax).toEqual(Int32Array.of(1, 1, 1, 0, 0));
    expect(result.rank).toEqual(Int32Array.of(0, 2, 3, 4, 1));
    expectAccurate(result, problem);
  });

  test('the largest logit and the target anywhere, block borders included', async () => {
    const { places, problem } = anywhere;
    const result = await run(problem);
    expect([...result.argmax]).toEqual(places);
    expectAccurate(result, problem);
  });

  test('a bias of -∞ removes a token', async () => {
    const bias = Float32Array.of(0, -Infinity, 0, 0, -Infinity);
    const problem = randomProblem(5, { rows: 4, dim: 3, vocab: 5 }, { bias, entropyWeight: 0.5, zLoss: 0.1 });
    problem.targets.set([0, 2, 3, 0]);
    const result = await run(problem);
    const without: LossProblem = {
      ...problem,
      vocab: 3,
      weight: Float32Array.from([0, 2, 3].flatMap((j) => [...problem.weight.subarray(j * 3, j * 3 + 3)])),
      bias: Float32Array.of(0, 0, 0),
      targets: problem.targets.map((target) => [0, -1, 1, 2][target]!),
    };
    const other = await run(without);
    expectAccurate(other, without);
    for (const name of ['nll', 'entropy', 'gradHidden'] as const) {
      result[name].forEach((value, i) => expect(value).toBeCloseTo(other[name][i]!, 5));
    }
    expect([result.gradBias[1]! + 0, result.gradBias[4]! + 0]).toEqual([0, 0]);
  });

  test('a target of probability 0 costs ∞, and its gradients are still finite', async () => {
    const bias = Float32Array.of(0, -Infinity, 0);
    const result = await run(problemOf([[1, 2, 3]], [1], { bias }));
    expect([result.total, result.nll[0]]).toEqual([Infinity, Infinity]);
    expect([...result.gradBias]).toEqual([expect.closeTo(0.1192, 4), -1, expect.closeTo(0.8808, 4)]);
  });

  test.each([
    ['NaN', NaN],
    ['∞', Infinity],
    ['-∞', -Infinity],
  ])('a hidden state of %s spoils only its own row and sums over rows', async (_, value) => {
    const problem = randomProblem(6, { rows: 5, dim: 4, vocab: 40 }, { ignoreEvery: 0 });
    const clean = await run(problem);
    const hidden = problem.hidden.slice();
    hidden[2 * 4 + 1] = value;
    const result = await run({ ...problem, hidden });
    for (const name of ['nll', 'lse', 'entropy'] as const) {
      expect([...result[name]]).toEqual([...clean[name]].map((good, row) => (row === 2 ? NaN : good)));
    }
    result.gradHidden.forEach((gradient, i) => {
      expect(gradient).toBe(Math.floor(i / 4) === 2 ? NaN : clean.gradHidden[i]);
    });
    expect(result.total).toBeNaN();
    for (const values of [result.headLoss, result.gradWeight, result.gradBias]) {
      expect(values.every(Number.isNaN)).toBe(true);
    }
  });

  test('NaN in one token, or in 64 together, spoils every row', async () => {
    const strip = Array.from({ length: 64 }, (_, i) => 64 + i);
    for (const tokens of [[0], [17], [39], strip]) {
      const problem = randomProblem(6, { rows: 5, dim: 4, vocab: 140 }, { ignoreEvery: 0 });
      for (const token of tokens) problem.weight[token * 4 + 3] = NaN;
      problem.targets.set([0, 17, 39, 5, 1]);
      const result = await run(problem);
      const { nll, lse, entropy, gradHidden } = result;
      for (const values of [nll, lse, entropy, gradHidden]) expect(values.every(Number.isNaN)).toBe(true);
    }
  });

  // All terms are equal, so the errors of a long float32 sum would add up instead of cancelling.
  test('rounding errors do not add up over a large vocabulary', async () => {
    const row = new Array<number>(isEmulated(target) ? 20_000 : 200_000).fill(-0.7);
    row[5] = 0;
    const problem = problemOf([row], [5], { labelSmoothing: 1 });
    const result = await run(problem);
    const oracle = oracleOf(problem);
    // At most 256 terms are summed in float32 before the sum continues in float64, and the result is a logarithm.
    for (const name of ['nll', 'lse', 'entropy'] as const) {
      expect(Math.abs(result[name][0]! / oracle[name][0]! - 1)).toBeLessThan(1e-6);
    }
    expect(Math.abs(result.total / oracle.total.values[0]! - 1)).toBeLessThan(1e-5);
  });

  test('softcap far beyond its cap', async () => {
    const problem = problemOf([[1e6, -1e6, 29, 0, 1e38]], [2], { softcap: 30 });
    const result = await run(problem);
    expectAccurate(result, problem);
    const nearly = problemOf([[300, 5, -5, 0, 20]], [4], { softcap: 30, labelSmoothing: 0.1 });
    expectAccurate(await run(nearly), nearly);
  });

  test('bfloat16 and float16 inputs do not round the gradient of a likely target', async () => {
    const weight = representable(Float32Array.of(12, 0, 0, 0), 'bfloat16');
    const shape = { rows: 1, dim: 1, vocab: 4 };
    const problem: LossProblem = { ...shape, hidden: Float32Array.of(1), weight, targets: Int32Array.of(0) };
    for (const dtype of ['bfloat16', 'float16'] as const) {
      const dtypes = { hidden: dtype, weight: dtype };
      const result = await runLoss(device, problem, { dtypes });
      const error = result.gradWeight[0]! / oracleOf(problem).gradWeight.values[0]! - 1;
      // If p were rounded before subtracting 1, the gradient would be 0.
      expect(Math.abs(error)).toBeLessThan(roundingsOfGradients(device, dtypes) ? 2 ** -8 : 1e-6);
    }
  });
});
