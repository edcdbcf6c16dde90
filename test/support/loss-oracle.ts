// The loss of linearCrossEntropy by its definition: with `exact` rounding in float64, the oracle; with `float32`
// rounding the plain float32 computation that kernels are measured against.
import type { Rounding } from './accuracy';

export interface LossProblem {
  rows: number;
  dim: number;
  vocab: number;
  /** [rows, dim] and [vocab, dim], values as the kernel sees them. */
  hidden: Float32Array;
  weight: Float32Array;
  bias?: Float32Array;
  targets: Int32Array;
  coefficients?: Float32Array;
  heads?: number;
  headWeights?: Float32Array;
  reduction?: 'sum' | 'mean' | 'meanPerHead';
  ignoreIndex?: number;
  labelSmoothing?: number;
  zLoss?: number;
  entropyWeight?: number;
  softcap?: number;
}

/** Results under the names of the op's, and the gradients. */
export interface LossValues {
  total: number;
  headLoss: Float64Array;
  headCount: Int32Array;
  nll: Float64Array;
  lse: Float64Array;
  entropy: Float64Array;
  argmax: Int32Array;
  rank: Int32Array;
  gradHidden: Float64Array;
  gradWeight: Float64Array;
  gradBias: Float64Array;
  /** Of each gradient, the same sum over absolute values: what an error of its terms is relative to. */
  scales: { gradHidden: Float64Array; gradWeight: Float64Array; gradBias: Float64Array };
}

interface Row {
  loss: number;
  nll: number;
  lse: number;
  entropy: number;
  /** Gradient of the logits before softcap. */
  gradient: Float64Array;
}

export const isValid = (problem: LossProblem, row: number): boolean =>
  problem.targets[row] !== (problem.ignoreIndex ?? -100);

/** What each row's loss counts in the total; 0 for ignored rows. */
export function rowWeights(problem: LossProblem, round: Rounding): Float64Array {
  const { rows, heads = 1, reduction = 'mean' } = problem;
  const headOf = (row: number): number => Math.floor(row / (rows / heads));
  const valid = Array.from({ length: rows }, (_, row) => row).filter((row) => isValid(problem, row));
  const weights = new Float64Array(rows);
  for (const row of valid) {
    const head = headOf(row);
    let weight = problem.coefficients?.[row] ?? 1;
    weight = round(weight * (problem.headWeights?.[head] ?? 1));
    if (reduction === 'mean') weight = round(weight / valid.length);
    if (reduction === 'meanPerHead')
      weight = round(weight / valid.filter((other) => headOf(other) === head).length);
    weights[row] = weight;
  }
  return weights;
}

/** softcap(h Wᵀ + b) of one row. */
function logitsOf(problem: LossProblem, row: number, round: Rounding): Float64Array {
  const { dim, vocab, hidden, weight, bias, softcap = 0 } = problem;
  const z = new Float64Array(vocab);
  for (let j = 0; j < vocab; j++) {
    let sum = 0;
    for (let k = 0; k < dim; k++) sum = round(sum + round(hidden[row * dim + k]! * weight[j * dim + k]!));
    if (bias) sum = round(sum + bias[j]!);
    z[j] = softcap > 0 ? round(softcap * round(Math.tanh(round(sum / softcap)))) : sum;
  }
  return z;
}

function lossOfRow(problem: LossProblem, target: number, z: Float64Array, round: Rounding): Row {
  const { vocab, labelSmoothing = 0, zLoss = 0, entropyWeight = 0, softcap = 0 } = problem;
  const top = z.indexOf(z.reduce((a, b) => Math.max(a, b)));
  const distances = z.map((value) => round(value - z[top]!));
  const exponentials = distances.map((value) => round(Math.exp(value)));
  const sumBut = (left: number): number =>
    exponentials.reduce((a, b, j) => (j === left ? a : round(a + b)), 0);
  // What is 1 but for a little is kept as that little.
  const logSum = round(Math.log1p(sumBut(top)));
  const sum = round(1 + sumBut(top));
  const lse = round(z[top]! + logSum);
  const p = exponentials.map((value) => round(value / sum));
  const others = round(sumBut(target) / sum); // 1 - p(target)
  const surprise = distances.map((value) => round(logSum - value)); // -log p
  const entropy = p.reduce((h, value, j) => (value > 0 ? round(h + round(value * surprise[j]!)) : h), 0);
  const nll = surprise[target]!;
  let loss = round(round(1 - labelSmoothing) * nll);
  if (labelSmoothing > 0) {
    const mean = round(distances.reduce((a, b) => round(a + b), 0) / vocab);
    loss = round(loss + round(labelSmoothing * round(logSum - mean)));
  }
  if (zLoss > 0) loss = round(loss + round(zLoss * round(lse * lse)));
  if (entropyWeight !== 0) loss = round(loss + round(entropyWeight * entropy));

  const gradient = p.map((value, j) => {
    let g = j === target ? round(labelSmoothing - others) : value;
    if (zLoss > 0) g = round(g + round(2 * zLoss * round(lse * value)));
    if (entropyWeight !== 0 && value > 0) {
      g = round(g + round(entropyWeight * round(value * round(surprise[j]! - entropy))));
    }
    if (labelSmoothing > 0) g = round(g - round(labelSmoothing / vocab));
    return softcap > 0 ? round(g * round(1 - round((z[j]! / softcap) ** 2))) : g;
  });
  return { loss, nll, lse, entropy, gradient };
}

/** to[i] += factor · from[i], and the same of absolute values to `scale`. */
function addScaled(
  to: Float64Array,
  scale: Float64Array,
  at: number,
  factor: number,
  from: Float32Array,
  round: Rounding,
): void {
  for (let i = 0; i < from.length; i++) {
    const term = round(factor * from[i]!);
    to[at + i] = round(to[at + i]! + term);
    scale[at + i]! += Math.abs(term);
  }
}

export function lossOf(problem: LossProblem, round: Rounding): LossValues {
  const { rows, dim, vocab, heads = 1, hidden, weight, targets } = problem;
  const values: LossValues = {
    total: 0,
    headLoss: new Float64Array(heads),
    headCount: new Int32Array(heads),
    nll: new Float64Array(rows),
    lse: new Float64Array(rows),
    entropy: new Float64Array(rows),
    argmax: new Int32Array(rows).fill(-1),
    rank: new Int32Array(rows).fill(-1),
    gradHidden: new Float64Array(rows * dim),
    gradWeight: new Float64Array(vocab * dim),
    gradBias: new Float64Array(vocab),
    scales: {
      gradHidden: new Float64Array(rows * dim),
      gradWeight: new Float64Array(vocab * dim),
      gradBias: new Float64Array(vocab),
    },
  };
  const { scales } = values;
  const weights = rowWeights(problem, round);
  const one = Float32Array.of(1);
  for (let row = 0; row < rows; row++) {
    if (!isValid(problem, row)) continue;
    const target = targets[row]!;
    const z = logitsOf(problem, row, round);
    const { loss, nll, lse, entropy, gradient } = lossOfRow(problem, target, z, round);
    const head = Math.floor(row / (rows / heads));
    values.total = round(values.total + round(weights[row]! * loss));
    values.headLoss[head] = round(values.headLoss[head]! + loss);
    values.headCount[head]!++;
    [values.nll[row], values.lse[row], values.entropy[row]] = [nll, lse, entropy];
    values.argmax[row] = z.indexOf(z.reduce((a, b) => Math.max(a, b)));
    values.rank[row] = z.filter(
      (other, j) => other > z[target]! || (other === z[target] && j < target),
    ).length;
    for (let j = 0; j < vocab; j++) {
      const dz = round(weights[row]! * gradient[j]!);
      addScaled(
        values.gradHidden,
        scales.gradHidden,
        row * dim,
        dz,
        weight.subarray(j * dim, (j + 1) * dim),
        round,
      );
      addScaled(
        values.gradWeight,
        scales.gradWeight,
        j * dim,
        dz,
        hidden.subarray(row * dim, (row + 1) * dim),
        round,
      );
      addScaled(values.gradBias, scales.gradBias, j, dz, one, round);
    }
  }
  return values;
}
