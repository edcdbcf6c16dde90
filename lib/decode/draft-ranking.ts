import type { Candidates } from './best-first';

/** Drafts of all sequences of a step in falling probability. */
export interface DraftRanking {
  /** `[drafts]`: the sequence of each draft. */
  readonly sequences: readonly number[];
  /** `[drafts + 1]`: how many of the first n drafts are expected to be accepted. */
  readonly accepted: readonly number[];
  /** The same for drafts that do not come from heads alone. */
  readonly acceptedWithoutHeads: readonly number[];
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
  const next = candidates.map(() => 1);
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
  return { sequences, accepted, acceptedWithoutHeads };
}

/**
 * Counts how many of the first drafts are of each of `count` sequences.
 * @param most drafts to count
 */
export function countDrafts(sequences: readonly number[], most: number, count: number): number[] {
  const counts = new Array<number>(count).fill(0);
  for (let i = 0; i < Math.min(most, sequences.length); i++) counts[sequences[i]!]!++;
  return counts;
}
