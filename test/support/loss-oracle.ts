// The loss of linearCrossEntropy by its definition. With `exact` rounding it is the float64 oracle, with `float32` rounding the
// plain float32 computation that kernels are measured against.
import type { Rounding } from './accuracy';

type AnyProblem = LossProblem<Float32Array | Float64Array>;

/** A problem for the loss. `Numbers` is Float64Array only in problems that no kernel sees. */
export interface LossProblem<Numbers = Float32Array> {
  rows: number;
  dim: number;
  vocab: number;
  /** [rows, dim] and [vocab, dim]: the values that the kernel reads. */
  hidden: Numbers;
  weight: Numbers;
  bias?: Numbers;
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

/** Sums, each with the sum of its terms' absolute values, to which errors are relative. */
class Sums {
  readonly values: Float64Array;
  readonly scales: Float64Array;

  constructor(
    count: number,
    private readonly round: Rounding,
  ) {
    this.values = new Float64Array(count);
    this.scales = new Float64Array(count);
  }

  add(at: number, term: number, scale = Math.abs(term)): void {
    this.values[at] = this.round(this.values[at]! + term);
    this.scales[at]! += scale;
  }
}

/** Results under their names in the op, and the gradients. */
export interface LossValues {
  total: Sums;
  headLoss: Sums;
  headCount: Int32Array;
  nll: Float64Array;
  lse: Float64Array;
  entropy: Float64Array;
  argmax: Int32Array;
  rank: Int32Array;
  gradHidden: Sums;
  gradWeight: Sums;
  gradBias: Sums;
}

interface Row {
  loss: Sums;
  nll: number;
  lse: number;
  entropy: number;
  /** Gradient of the logits before softcap. */
  gradient: Sums;
}

export const isValid = (problem: AnyProblem, row: number): boolean =>
  problem.targets[row] !== (problem.ignoreIndex ?? -100);

/** The weight of each row's loss in the total; 0 for ignored rows. */
export function rowWeights(problem: AnyProblem, round: Rounding): Float64Array {
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
function logitsOf(problem: AnyProblem, row: number, round: Rounding): Float64Array {
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

function lossOfRow(problem: AnyProblem, target: number, z: Float64Array, round: Rounding): Row {
  const { vocab, labelSmoothing = 0, zLoss = 0, entropyWeight = 0, softcap = 0 } = problem;
  const top = z.indexOf(z.reduce((a, b) => Math.max(a, b)));
  const distances = z.map((value) => round(value - z[top]!));
  const exponentials = distances.map((value) => round(Math.exp(value)));
  const sumBut = (left: number): number =>
    exponentials.reduce((a, b, j) => (j === left ? a : round(a + b)), 0);
  // A number close to 1 is kept as its distance from 1.
  const logSum = round(Math.log1p(sumBut(top)));
  const sum = round(1 + sumBut(top));
  const lse = round(z[top]! + logSum);
  const p = exponentials.map((value) => round(value / sum));
  const others = round(sumBut(target) / sum); // 1 - p(target)
  const surprise = distances.map((value) => round(logSum - value)); // -log p
  const entropy = p.reduce((h, value, j) => (value > 0 ? round(h + round(value * surprise[j]!)) : h), 0);
  const nll = surprise[target]!;
  const mean = round(distances.reduce((a, b) => round(a + b), 0) / vocab);

  const loss = new Sums(1, round);
  loss.add(0, round(round(1 - labelSmoothing) * nll));
  if (labelSmoothing > 0) loss.add(0, round(labelSmoothing * round(logSum - mean)));
  if (zLoss > 0) loss.add(0, round(zLoss * round(lse * lse)));
  if (entropyWeight !== 0) loss.add(0, round(entropyWeight * entropy));

  const gradient = new Sums(vocab, round);
  for (let j = 0; j < vocab; j++) {
    const through = softcap > 0 ? round(1 - round((z[j]! / softcap) ** 2)) : 1;
    const add = (term: number): void => gradient.add(j, round(round(term) * through));
    add(j === target ? -others : p[j]!);
    if (j === target) add(labelSmoothing);
    add(-labelSmoothing / vocab);
    if (zLoss > 0) add(2 * zLoss * round(lse * p[j]!));
    if (entropyWeight !== 0 && p[j]! > 0) {
      add(entropyWeight * round(p[j]! * surprise[j]!));
      add(-entropyWeight * round(p[j]! * entropy));
    }
  }
  return { loss, nll, lse, entropy, gradient };
}

/** @param roundGradient rounds the gradients of logits before they are summed */
export function lossOf(problem: AnyProblem, round: Rounding, roundGradient: Rounding = round): LossValues {
  const { rows, dim, vocab, heads = 1, hidden, weight, targets } = problem;
  const values: LossValues = {
    total: new Sums(1, round),
    headLoss: new Sums(heads, round),
    headCount: new Int32Array(heads),
    nll: new Float64Array(rows),
    lse: new Float64Array(rows),
    entropy: new Float64Array(rows),
    argmax: new Int32Array(rows).fill(-1),
    rank: new Int32Array(rows).fill(-1),
    gradHidden: new Sums(rows * dim, round),
    gradWeight: new Sums(vocab * dim, round),
    gradBias: new Sums(vocab, round),
  };
  const weights = rowWeights(problem, round);
  for (let row = 0; row < rows; row++) {
    if (!isValid(problem, row)) continue;
    const [target, a] = [targets[row]!, weights[row]!];
    const z = logitsOf(problem, row, round);
    const { loss, nll, lse, entropy, gradient } = lossOfRow(problem, target, z, round);
    const head = Math.floor(row / (rows / heads));
    values.total.add(0, round(a * loss.values[0]!), Math.abs(a) * loss.scales[0]!);
    values.headLoss.add(head, loss.values[0]!, loss.scales[0]);
    values.headCount[head]!++;
    [values.nll[row], values.lse[row], values.entropy[row]] = [nll, lse, entropy];
    values.argmax[row] = z.indexOf(z.reduce((x, y) => Math.max(x, y)));
    values.rank[row] = z.filter((x, j) => x > z[target]! || (x === z[target] && j < target)).length;
    for (let j = 0; j < vocab; j++) {
      const [dz, scale] = [roundGradient(a * gradient.values[j]!), Math.abs(a) * gradient.scales[j]!];
      values.gradBias.add(j, dz, scale);
      for (let k = 0; k < dim; k++) {
        const [h, w] = [hidden[row * dim + k]!, weight[j * dim + k]!];
        values.gradHidden.add(row * dim + k, round(dz * w), scale * Math.abs(w));
        values.gradWeight.add(j * dim + k, round(dz * h), scale * Math.abs(h));
      }
    }
  }
  return values;
}
