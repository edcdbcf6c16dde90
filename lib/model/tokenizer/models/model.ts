/** Splits words into the tokens of a vocabulary. */
export interface TokenModel {
  /** The vocabulary, without the tokens that a tokenizer.json adds to the model's. */
  readonly idOf: ReadonlyMap<string, number>;
  /**
   * Yields the ids of a word in pieces. A piece is made in a few milliseconds; empty pieces let the caller pause.
   * @throws Error for a word that has no tokens, if the model has no token for the unknown
   */
  encode(word: string): Iterable<readonly number[]>;
}

/** A piece without ids. */
export const PAUSE: readonly number[] = [];

/** The name of the token for a byte of a character that the vocabulary lacks. */
export function byteToken(byte: number): string {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
}

/** Returns the ids of the tokens for the bytes of a text, or null if the vocabulary lacks one of them. */
export function byteIds(text: string, idOf: ReadonlyMap<string, number>): number[] | null {
  const ids: number[] = [];
  for (const byte of Buffer.from(text, 'utf8')) {
    const id = idOf.get(byteToken(byte));
    if (id === undefined) return null;
    ids.push(id);
  }
  return ids;
}

/** Makes the error for a text that a vocabulary cannot express. */
export function noToken(text: string): Error {
  return new Error(`token ${JSON.stringify(text)} has no id, and the tokenizer has no unknown token`);
}
