import type { SamplingHistory, SamplingOptions } from '../../lib/tensor/ops/sampling/sampling';
import { memoize } from './memoize';

/** The upper word of the product of two words. Both halves of it, and their sum, are exact. */
function highWord(a: number, b: number): number {
  const carried = Math.floor(((a & 0xffff) * b) / 2 ** 16);
  return Math.floor(((a >>> 16) * b + carried) / 2 ** 16);
}

/** Four words of Philox4x32-10 for a counter and a key of 64 bits. */
export function philox(counter: readonly number[], key: bigint): number[] {
  let [c0, c1, c2, c3] = counter as [number, number, number, number];
  let [k0, k1] = [Number(key & 0xffffffffn), Number(key >> 32n)];
  for (let round = 0; round < 10; round++) {
    const [high0, low0] = [highWord(0xd2511f53, c0), Math.imul(0xd2511f53, c0)];
    const [high1, low1] = [highWord(0xcd9e8d57, c2), Math.imul(0xcd9e8d57, c2)];
    [c0, c1, c2, c3] = [(high1 ^ c1 ^ k0) >>> 0, low1 >>> 0, (high0 ^ c3 ^ k1) >>> 0, low0 >>> 0];
    [k0, k1] = [(k0 + 0x9e3779b9) >>> 0, (k1 + 0xbb67ae85) >>> 0];
  }
  return [c0, c1, c2, c3];
}

/** The noise that the random word x of a token adds to its logit. */
export function gumbel(x: number): number {
  return -Math.log(-Math.log1p(-(x + 0.5) * 2 ** -32));
}

/** The noise of the tokens 0 … vocab − 1 at a position. */
export function noise(seed: number | bigint, position: number, vocab: number): number[] {
  const words: number[] = [];
  for (let group = 0; words.length < vocab; group++)
    words.push(...philox([position, group, 0, 0], BigInt(seed)));
  return words.slice(0, vocab).map(gumbel);
}

/** Logits after bias and penalties, in float64. */
export function penalised(
  logits: ArrayLike<number>,
  options: SamplingOptions,
  history?: SamplingHistory,
): number[] {
  const { repetitionPenalty = 1, frequencyPenalty = 0, presencePenalty = 0, logitBias } = options;
  const tokens = Array.from(history?.tokens ?? []);
  const output = tokens.slice(history?.promptLength ?? 0);
  return Array.from(logits, (logit, token) => {
    let z = logit + (logitBias?.get(token) ?? 0);
    if (tokens.includes(token)) z = z > 0 ? z / repetitionPenalty : z * repetitionPenalty;
    const count = output.filter((other) => other === token).length;
    return z - frequencyPenalty * count - (count > 0 ? presencePenalty : 0);
  });
}

/** The probabilities from which a token is drawn, in float64; 0 for tokens that the filters drop. */
export function probabilities(
  logits: ArrayLike<number>,
  options: SamplingOptions,
  history?: SamplingHistory,
): number[] {
  const { temperature = 0, topK = 0, topP = 1, minP = 0 } = options;
  const z = penalised(logits, options, history).map((x) => x / temperature);
  const order = z.map((_, token) => token).sort((a, b) => z[b]! - z[a]! || a - b);
  const largest = z[order[0]!]!;
  const weights = z.map((x) => Math.exp(x - largest));
  const sum = (tokens: readonly number[]): number =>
    tokens.reduce((total, token) => total + weights[token]!, 0);
  let kept = topK > 0 ? order.slice(0, topK) : order;
  if (topP < 1) {
    const enough = topP * sum(kept);
    let reached = 0;
    const end = kept.findIndex((token) => (reached += weights[token]!) >= enough);
    kept = end < 0 ? kept : kept.slice(0, end + 1);
  }
  kept = kept.filter((token) => weights[token]! >= minP);
  const total = sum(kept);
  const keeps = new Set(kept);
  return weights.map((weight, token) => (keeps.has(token) ? weight / total : 0));
}

/** Relative error allowed in scores and in the limits of topP and minP. */
const SLACK = 1e-5;

/** The tokens that float32 arithmetic may draw: one, unless the choice depends on digits that float32 does not have. */
export const possibleDraws = memoize(
  (
    logits: ArrayLike<number>,
    position: number,
    options: SamplingOptions,
    history?: SamplingHistory,
  ): Set<number> => {
    const { temperature = 0, topP = 1, minP = 0, seed = 0 } = options;
    const z = penalised(logits, options, history);
    const draws = new Set<number>();
    const addBest = (scores: readonly number[]): void => {
      const best = scores.reduce((a, b) => Math.max(a, b));
      scores.forEach((score, token) => {
        if (score >= best - SLACK * (1 + Math.abs(best))) draws.add(token);
      });
    };
    if (temperature === 0) {
      addBest(z);
      return draws;
    }
    const g = noise(seed, position, z.length);
    for (const factor of topP < 1 || minP > 0 ? [1 - SLACK, 1, 1 + SLACK] : [1]) {
      const limits = { topP: topP < 1 ? Math.min(topP * factor, 1) : 1, minP: Math.min(minP * factor, 1) };
      const p = probabilities(logits, { ...options, ...limits }, history);
      addBest(z.map((x, token) => (p[token]! > 0 ? x / temperature + g[token]! : -Infinity)));
    }
    return draws;
  },
);
