import type { Candidates } from './best-first';

/** Drafts of all sequences of a step in falling probability. */
export interface DraftRanking {
  /** `[drafts]`: the sequence of each draft. */
  readonly sequences: Int32Array;
  /** `[drafts + 1]`: how many of the first n drafts are expected to be accepted. */
  readonly accepted: Float64Array;
  /** The same for drafts that do not come from heads alone. */
  readonly acceptedWithoutHeads: Float64Array;
}

/**
 * Ranks the candidates of all sequences together. The first n are the best n, because within a sequence probabilities fall.
 * @param most drafts in all
 */
export function rankDrafts(candidates: readonly Candidates[], most: number): DraftRanking {
  const sequences: number[] = [];
  const accepted = [0];
  const acceptedWithoutHeads = [0];
  let sum = 0;
  let sumWithoutHeads = 0;
  /** The next draft of each sequence, and its probability. */
  const next = new Int32Array(candidates.length).fill(1);
  const upcoming = candidates.map(({ probabilities }) => probabilities[1] ?? 0);
  while (sequences.length < most) {
    let likeliest = 0;
    for (let i = 1; i < upcoming.length; i++) if (upcoming[i]! > upcoming[likeliest]!) likeliest = i;
    const probability = upcoming[likeliest]!;
    if (probability === 0) break;
    const { probabilities, isFromHeads } = candidates[likeliest]!;
    sequences.push(likeliest);
    accepted.push((sum += probability));
    if (!isFromHeads[next[likeliest]!]) acceptedWithoutHeads.push((sumWithoutHeads += probability));
    upcoming[likeliest] = probabilities[++next[likeliest]!] ?? 0;
  }
  return {
    sequences: Int32Array.from(sequences),
    accepted: Float64Array.from(accepted),
    acceptedWithoutHeads: Float64Array.from(acceptedWithoutHeads),
  };
}

/** Counts how many drafts are of each of `count` sequences. */
export function countDrafts(sequences: Int32Array, count: number): Int32Array {
  const counts = new Int32Array(count);
  for (const sequence of sequences) counts[sequence]!++;
  return counts;
}
