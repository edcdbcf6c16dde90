import type { TokenFile } from './token-file';

/** Tokens read at a time. */
const PIECE = 1 << 20;

/** The tokens that a text has most of. */
export interface FrequentTokens {
  /** Most frequent first, the lower token first among equals. Tokens that the text lacks are not among them. */
  readonly tokens: number[];
  /** Share of the text that these tokens make up, 0 … 1. */
  readonly share: number;
}

/** Counts the tokens of a corpus and returns the `size` most frequent ones, or fewer if it has fewer. */
export function frequentTokens(file: TokenFile, size: number): FrequentTokens {
  const counts = new Float64Array(file.vocabSize);
  const piece = new Int32Array(PIECE);
  for (let start = 0; start < file.length; start += PIECE) {
    const count = Math.min(PIECE, file.length - start);
    file.read(start, count, piece);
    for (let i = 0; i < count; i++) counts[piece[i]!]! += 1;
  }
  const tokens = Array.from(counts.keys())
    .filter((token) => counts[token]! > 0)
    .sort((a, b) => counts[b]! - counts[a]! || a - b)
    .slice(0, size);
  const covered = tokens.reduce((sum, token) => sum + counts[token]!, 0);
  return { tokens, share: file.length > 0 ? covered / file.length : 0 };
}
