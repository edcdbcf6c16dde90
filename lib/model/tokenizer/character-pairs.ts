/** Places of the filter: with the pairs of half a million merges, one place in eight is taken. */
const BITS = 22;

/**
 * Remembers pairs of neighbouring characters. It may take a pair for a remembered one that is not, never the other way round
 * (a Bloom filter with one hash).
 */
export class CharacterPairs {
  readonly #bits = new Uint8Array(2 ** (BITS - 3));

  add(left: number, right: number): void {
    const hash = hashOf(left, right);
    this.#bits[hash >>> 3]! |= 1 << (hash & 7);
  }

  mayHave(left: number, right: number): boolean {
    const hash = hashOf(left, right);
    return (this.#bits[hash >>> 3]! & (1 << (hash & 7))) !== 0;
  }

  /**
   * Splits a text between every two characters that are no remembered pair and that `isKnown` both.
   */
  *split(text: string, isKnown: (character: string) => boolean): Generator<string, void, undefined> {
    let start = 0;
    let left = text.codePointAt(0) ?? 0;
    for (let at = widthOf(left); at < text.length;) {
      const right = text.codePointAt(at)!;
      if (
        !this.mayHave(left, right) &&
        isKnown(String.fromCodePoint(left)) &&
        isKnown(String.fromCodePoint(right))
      ) {
        yield text.slice(start, at);
        start = at;
      }
      left = right;
      at += widthOf(right);
    }
    yield text.slice(start);
  }
}

function widthOf(codePoint: number): number {
  return codePoint > 0xffff ? 2 : 1;
}

function hashOf(left: number, right: number): number {
  const hash = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
  return (hash ^ (hash >>> 13)) >>> (32 - BITS);
}
