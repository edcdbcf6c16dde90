// Kinds of drafts that earlier occurrences of the end of a text propose. A match is the equal text before a draft, the drafts above
// the draft included.

/** Longest matches that count alike. */
const LENGTHS = [1, 2, 3, 4, 6, 9, 14, 22, Infinity];

/**
 * Percentage of drafts that were right, among those that the longest match proposes: by its length, and by how many of the matches
 * propose the same: at most half, most, the only one, two or three that agree, more that agree. Measured on source code,
 * declarations, prose and JSON, in bytes and in words.
 */
const RIGHT = [
  [12, 53, 39, 63, 92],
  [25, 56, 45, 72, 90],
  [37, 72, 57, 79, 94],
  [45, 80, 67, 87, 97],
  [49, 82, 74, 91, 98],
  [59, 87, 82, 93, 99],
  [67, 92, 87, 95, 99],
  [78, 91, 93, 97, 99],
  [91, 95, 98, 99, 99],
];
const AGREEMENTS = RIGHT[0]!.length;

/** The same for other drafts: those that most matches propose, the first of the others, the rest. */
const OTHER_RIGHT = [20, 9, 4];
const OTHER = LENGTHS.length * AGREEMENTS;

/** The bucket of each length of a match. */
const BUCKET = Uint8Array.from({ length: 256 }, (_, length) =>
  LENGTHS.findIndex((longest) => length <= longest),
);

/** Prior probability of each kind. */
export const PRIORS = Float64Array.from([...RIGHT.flat(), ...OTHER_RIGHT], (percent) => percent / 100);

/**
 * Returns the kind of a draft.
 * @param length of the longest match that proposes it
 * @param rank number of other drafts in its place that longer matches propose
 * @param matches how many of the matches propose it
 * @param all number of matches that propose a draft in its place
 */
export function kindOfMatch(length: number, rank: number, matches: number, all: number): number {
  const isMost = 2 * matches > all;
  if (rank > 0) return OTHER + (isMost ? 0 : Math.min(rank, 2));
  const bucket = BUCKET[length] ?? LENGTHS.length - 1;
  return bucket * AGREEMENTS + agreementOf(matches, all, isMost);
}

/** Returns the column of RIGHT. */
function agreementOf(matches: number, all: number, isMost: boolean): number {
  if (matches < all) return isMost ? 1 : 0;
  return matches === 1 ? 2 : matches < 4 ? 3 : 4;
}
