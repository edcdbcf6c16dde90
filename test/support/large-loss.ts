// A float64 oracle for sizes at which the one in loss-oracle.ts would take hours. Rows share a few hidden states, whose
// logits are computed once. Gradients of hidden states and weight are computed for a sample only. Softcap is not supported.
import { float32, type Rounding } from './accuracy';
import { randomProblem } from './loss';
import { isValid, rowWeights, type LossProblem } from './loss-oracle';
import { Random } from './random';

/** A problem in which row r has the hidden state `states[stateOf[r]]`, with a target and a coefficient of its own. */
export interface LargeProblem extends LossProblem {
  /** [number of states, dim] */
  states: Float32Array;
  stateOf: Int32Array;
}

export function largeProblem(
  seed: number,
  { states: count, ...shape }: { rows: number; dim: number; vocab: number; states: number },
  extras: Parameters<typeof randomProblem>[2] = {},
): LargeProblem {
  const random = new Random(seed);
  const states = random.floats(count * shape.dim);
  const stateOf = Int32Array.from({ length: shape.rows }, () => random.integer(count));
  const hidden = new Float32Array(shape.rows * shape.dim);
  stateOf.forEach((state, row) =>
    hidden.set(states.subarray(state * shape.dim, (state + 1) * shape.dim), row * shape.dim),
  );
  return { ...randomProblem(seed, shape, { ...extras, hidden }), states, stateOf };
}

/** Sums, and the sums of the absolute values of their terms. */
export interface Sampled {
  values: Float64Array;
  scales: Float64Array;
}

export interface LargeLoss {
  total: Sampled;
  headLoss: Sampled;
  headCount: Int32Array;
  nll: Float64Array;
  lse: Float64Array;
  entropy: Float64Array;
  argmax: Int32Array;
  rank: Int32Array;
  gradBias: Sampled;
  /** [sampled rows, dim] */
  gradHidden: Sampled;
  /** [sampled tokens, dim] */
  gradWeight: Sampled;
}

/** The results that all rows with one hidden state share. */
interface State {
  z: Float64Array;
  lse: number;
  entropy: number;
  meanZ: number;
  argmax: number;
}

const sampled = (count: number): Sampled => ({
  values: new Float64Array(count),
  scales: new Float64Array(count),
});

// Rounds inline, because calling a function for each of a thousand million steps would take too long.

function add({ values, scales }: Sampled, single: boolean, at: number, term: number, scale: number): void {
  values[at] = single ? Math.fround(values[at]! + term) : values[at]! + term;
  scales[at]! += scale;
}

/** Adds factor · row to the `at`-th row of sums. */
function addRow(sums: Sampled, single: boolean, at: number, factor: number, row: Float32Array): void {
  const [values, scales] = [sums.values, sums.scales];
  const begin = at * row.length;
  for (let k = 0; k < row.length; k++) {
    const term = factor * row[k]!;
    const sum = values[begin + k]! + (single ? Math.fround(term) : term);
    values[begin + k] = single ? Math.fround(sum) : sum;
    scales[begin + k]! += Math.abs(term);
  }
}

function dot(a: Float32Array, b: Float32Array, begin: number, single: boolean): number {
  let sum = 0;
  if (!single) for (let k = 0; k < a.length; k++) sum += a[k]! * b[begin + k]!;
  else for (let k = 0; k < a.length; k++) sum = Math.fround(sum + Math.fround(a[k]! * b[begin + k]!));
  return sum;
}

/**
 * The loss. With `float32` rounding, logits and sums of gradients are rounded at every step, because errors arise there.
 * @param sample the rows and tokens whose gradients are computed
 */
export function largeLossOf(
  problem: LargeProblem,
  round: Rounding,
  sample: { rows: readonly number[]; tokens: readonly number[] },
): LargeLoss {
  const { rows, dim, vocab, heads = 1, weight, hidden, targets, stateOf } = problem;
  const single = round === float32;
  const { labelSmoothing: smoothing = 0, zLoss = 0, entropyWeight = 0 } = problem;
  const count = problem.states.length / dim;
  const states = Array.from({ length: count }, (_, state) => stateAt(problem, state, single));
  const weights = rowWeights(problem, (x) => x);
  const loss: LargeLoss = {
    ...{ total: sampled(1), headLoss: sampled(heads), headCount: new Int32Array(heads) },
    ...{ nll: new Float64Array(rows), lse: new Float64Array(rows), entropy: new Float64Array(rows) },
    ...{ argmax: new Int32Array(rows).fill(-1), rank: new Int32Array(rows).fill(-1) },
    gradBias: sampled(vocab),
    gradHidden: sampled(sample.rows.length * dim),
    gradWeight: sampled(sample.tokens.length * dim),
  };

  // dloss/dz_j without the term of the target: p_j (1 + 2ζ lse - β (log p_j + H)) - ε/V.
  const common = ({ z, lse, entropy }: State, j: number): number => {
    const logP = z[j]! - lse;
    return Math.exp(logP) * (1 + 2 * zLoss * lse - entropyWeight * (logP + entropy)) - smoothing / vocab;
  };
  const gradientAt = (row: number, j: number): number =>
    weights[row]! * (common(states[stateOf[row]!]!, j) - (j === targets[row] ? 1 - smoothing : 0));

  const sumOfWeights = new Float64Array(count);
  const sumOfSizes = new Float64Array(count);
  for (let row = 0; row < rows; row++) {
    if (!isValid(problem, row)) continue;
    const [a, target, head] = [weights[row]!, targets[row]!, Math.floor(row / (rows / heads))];
    const { z, lse, entropy, meanZ, argmax } = states[stateOf[row]!]!;
    const nll = lse - z[target]!;
    const terms = [
      (1 - smoothing) * nll,
      smoothing * (lse - meanZ),
      zLoss * lse * lse,
      entropyWeight * entropy,
    ];
    const own = terms.reduce((x, y) => x + y);
    const size = terms.reduce((x, y) => x + Math.abs(y), 0);
    add(loss.total, false, 0, a * own, Math.abs(a) * size);
    add(loss.headLoss, false, head, own, size);
    loss.headCount[head]!++;
    [loss.nll[row], loss.lse[row], loss.entropy[row], loss.argmax[row]] = [nll, lse, entropy, argmax];
    let rank = 0;
    for (let j = 0; j < vocab; j++) rank += +(z[j]! > z[target]! || (z[j] === z[target] && j < target));
    loss.rank[row] = rank;
    sumOfWeights[stateOf[row]!]! += a;
    sumOfSizes[stateOf[row]!]! += Math.abs(a);
    add(loss.gradBias, single, target, -a * (1 - smoothing), Math.abs(a) * (1 - smoothing));
  }
  states.forEach((state, i) => {
    for (let j = 0; j < vocab; j++) {
      const gradient = common(state, j);
      add(loss.gradBias, single, j, sumOfWeights[i]! * gradient, sumOfSizes[i]! * Math.abs(gradient));
    }
  });
  sample.rows.forEach((row, i) => {
    if (!isValid(problem, row)) return;
    for (let j = 0; j < vocab; j++) {
      const of = weight.subarray(j * dim, (j + 1) * dim);
      addRow(loss.gradHidden, single, i, gradientAt(row, j), of);
    }
  });
  sample.tokens.forEach((token, i) => {
    for (let row = 0; row < rows; row++) {
      if (!isValid(problem, row)) continue;
      const of = hidden.subarray(row * dim, (row + 1) * dim);
      addRow(loss.gradWeight, single, i, gradientAt(row, token), of);
    }
  });
  return loss;
}

function stateAt({ dim, vocab, states, weight, bias }: LargeProblem, state: number, single: boolean): State {
  const z = new Float64Array(vocab);
  const h = states.subarray(state * dim, (state + 1) * dim);
  let argmax = 0;
  for (let j = 0; j < vocab; j++) {
    const sum = dot(h, weight, j * dim, single) + (bias?.[j] ?? 0);
    z[j] = single ? Math.fround(sum) : sum;
    if (z[j]! > z[argmax]!) argmax = j;
  }
  let [sum, weighted, meanZ] = [0, 0, 0];
  for (const value of z) {
    const exponential = Math.exp(value - z[argmax]!);
    sum += exponential;
    weighted += exponential * (value - z[argmax]!);
    meanZ += value / vocab;
  }
  // H = log Σ - Σ p (z - max)
  return { z, argmax, meanZ, lse: z[argmax]! + Math.log(sum), entropy: Math.log(sum) - weighted / sum };
}
