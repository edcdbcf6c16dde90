// Sums over the vocabulary stay exact as it grows, because the gradient of the hidden states is a sum of short sums.
import { linearCrossEntropy } from '../../../lib/tensor/ops/loss/linear-cross-entropy';
import { scope } from '../../../lib/tensor/scope';
import { distance } from '../../support/accuracy';
import { isEmulated, onDevice, targets, type Target } from '../../support/devices';
import { Random } from '../../support/random';

interface Problem {
  dim: number;
  vocab: number;
  hidden: Float32Array;
  weight: Float32Array;
  targets: Int32Array;
}

/** The gradient of the hidden states in float64, and the largest sum of its terms' absolute values. */
function oracle({ dim, vocab, hidden, weight, targets }: Problem): {
  gradient: Float64Array;
  scale: number;
} {
  const gradient = new Float64Array(targets.length * dim);
  const terms = new Float64Array(gradient.length);
  for (const [row, target] of targets.entries()) {
    const logits = new Float64Array(vocab);
    for (let j = 0; j < vocab; j++) {
      for (let k = 0; k < dim; k++) logits[j]! += hidden[row * dim + k]! * weight[j * dim + k]!;
    }
    let total = 0;
    for (let j = 0; j < vocab; j++) total += Math.exp(logits[j]!);
    for (let k = 0; k < dim; k++) {
      const own = weight[target * dim + k]!;
      let [sum, size] = [-own, Math.abs(own)];
      for (let j = 0; j < vocab; j++) {
        const term = (Math.exp(logits[j]!) / total) * weight[j * dim + k]!;
        sum += term;
        size += Math.abs(term);
      }
      gradient[row * dim + k] = sum;
      terms[row * dim + k] = size;
    }
  }
  return { gradient, scale: Math.max(...terms) };
}

/** Weights of one sign, so that the rounding errors of additions add up. */
function randomRows(vocab: number): Problem {
  const random = new Random(vocab);
  const [rows, dim] = [2, 3];
  return {
    dim,
    vocab,
    hidden: random.floats(rows * dim),
    weight: random.floats(vocab * dim).map((x) => Math.abs(x) + 0.1),
    targets: Int32Array.of(Math.floor(vocab / 3), vocab - 1),
  };
}

/** All rows of the weight are the same, so the gradient is 0. */
function equalRows(vocab: number): Problem {
  const row = [0.3, -0.7, 0.9];
  return {
    dim: row.length,
    vocab,
    hidden: Float32Array.of(1, 2, -1),
    weight: Float32Array.from({ length: vocab * row.length }, (_, i) => row[i % row.length]!),
    targets: Int32Array.of(5),
  };
}

/** The largest number of additions that a term takes part in, if one accumulator takes `piece` terms. */
function additions(target: string, vocab: number): number {
  const piece = target.startsWith('cuda') ? 1024 : 256;
  return piece + vocab / piece;
}

/** The targets that finish a vocabulary in seconds: all except emulated GPUs with the largest one. */
function suitableTargets(vocab: number): Target[] {
  return targets.filter((target) => !isEmulated(target) || vocab < 100_000);
}

// Equal terms are all rounded in the same direction, each by at most half a unit in the last place.
const problems = [
  { name: 'random', make: randomRows, bound: () => 1e-6 },
  {
    name: 'equal',
    make: equalRows,
    bound: (target: string, vocab: number) => additions(target, vocab) * 2 ** -25,
  },
]
  .flatMap((problem) => [1024, 32_768, 262_144].map((vocab) => ({ ...problem, vocab })))
  .filter(({ vocab }) => suitableTargets(vocab).length > 0);

describe.each(problems)(
  'the gradient of hidden states, $name rows of $vocab logits',
  ({ make, vocab, bound }) => {
    const problem = make(vocab);
    const { gradient, scale } = oracle(problem);

    test.each(suitableTargets(vocab))('%s', async (target) => {
      const error = await onDevice(target, async (device) => {
        const hidden = device.tensor(problem.hidden, [problem.targets.length, problem.dim]).requireGrad();
        const weight = device.tensor(problem.weight, [vocab, problem.dim]);
        const tokens = device.tensor(problem.targets);
        scope(() => linearCrossEntropy(hidden, weight, tokens, { reduction: 'sum' }).loss.backward());
        return distance(await hidden.grad!.data(), gradient);
      });
      expect(error / scale).toBeLessThan(bound(target, vocab));
    });
  },
);
