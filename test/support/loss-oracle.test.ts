// Checks the oracle: values computed by hand, and gradients as differences of its own loss.
import { exact } from './accuracy';
import { randomProblem } from './loss';
import { lossOf, type LossProblem } from './loss-oracle';

describe('two tokens with z = 0, ln 3, so p = ¼, ¾', () => {
  const problem = (extras: Partial<LossProblem>): LossProblem => ({
    ...{ rows: 1, dim: 1, vocab: 2, hidden: Float32Array.of(1), weight: Float32Array.of(0, 0) },
    ...{ bias: Float32Array.of(0, Math.log(3)), targets: Int32Array.of(0) },
    ...extras,
  });
  const [ln3, ln4] = [Math.log(3), Math.log(4)];
  const entropy = ln4 - 0.75 * ln3;

  test.each<[string, Partial<LossProblem>, number, number]>([
    ['cross-entropy', {}, ln4, 0.75],
    ['label smoothing', { labelSmoothing: 0.5 }, 0.5 * ln4 + 0.5 * (ln4 - ln3 / 2), 0.5],
    ['z-loss', { zLoss: 0.1 }, ln4 + 0.1 * ln4 ** 2, 0.75 + 0.15 * ln4],
    ['entropy', { entropyWeight: 1 }, ln4 + entropy, 0.75 - 0.75 * (Math.log(0.75) + entropy)],
    ['coefficient', { coefficients: Float32Array.of(-2) }, -2 * ln4, -1.5],
  ])('%s', (_, extras, loss, gradientOfOther) => {
    const values = lossOf(problem(extras), exact);
    // The tolerance covers ln 3, which is rounded to float32.
    expect(values.total.values[0]).toBeCloseTo(loss, 6);
    expect(values.gradBias.values[1]).toBeCloseTo(gradientOfOther, 6);
    expect(values.nll[0]).toBeCloseTo(ln4, 6);
    expect(values.lse[0]).toBeCloseTo(ln4, 6);
    expect(values.entropy[0]).toBeCloseTo(entropy, 6);
    expect([values.argmax[0], values.rank[0], values.headCount[0]]).toEqual([1, 1, 1]);
  });

  test('softcap', () => {
    const values = lossOf(problem({ softcap: 1 }), exact);
    const [capped, p] = [Math.tanh(ln3), 1 / (1 + Math.exp(-Math.tanh(ln3)))];
    expect(values.total.values[0]).toBeCloseTo(-Math.log(1 - p), 6);
    expect(values.gradBias.values[1]).toBeCloseTo(p * (1 - capped ** 2), 6);
  });
});

test.each<[string, Partial<LossProblem>]>([
  ['plain', {}],
  ['label smoothing', { labelSmoothing: 0.3 }],
  ['z-loss', { zLoss: 0.1 }],
  ['entropy', { entropyWeight: -0.5 }],
  ['softcap', { softcap: 3 }],
  ['all', { labelSmoothing: 0.2, zLoss: 0.05, entropyWeight: 0.5, softcap: 4 }],
  ['head weights', { headWeights: Float32Array.of(1.5, -2) }],
  ['mean per head', { reduction: 'meanPerHead' }],
  ['sum', { reduction: 'sum' }],
])('gradients are differences of the loss: %s', (_, extras) => {
  const problem = randomProblem(3, { rows: 6, dim: 3, vocab: 5 }, { heads: 2, ignoreEvery: 4, ...extras });
  const values = lossOf(problem, exact);
  for (const [name, gradient] of [
    ['hidden', values.gradHidden],
    ['weight', values.gradWeight],
    ['bias', values.gradBias],
  ] as const) {
    gradient.values.forEach((value, i) => {
      const at = (step: number): [number, number] => {
        const moved = problem[name]!.slice();
        moved[i]! += step;
        return [moved[i]!, lossOf({ ...problem, [name]: moved }, exact).total.values[0]!];
      };
      const [[x1, loss1], [x2, loss2]] = [at(-(2 ** -13)), at(2 ** -13)];
      expect(Math.abs(value - (loss2 - loss1) / (x2 - x1))).toBeLessThanOrEqual(
        1e-6 * gradient.scales[i]! + 1e-12,
      );
    });
  }
});
