import { NgramIndex } from './ngram-index';

/** An earlier occurrence of the end of a text. */
export interface Occurrence {
  /** Index of the token that followed. */
  readonly end: number;
  /** Tokens before `end` that equal the end of the text; at most {@link LONGEST} are counted. */
  readonly length: number;
}

/** Longer occurrences count as equally long. */
const LONGEST = 32;

/** Tokens of the n-grams that are indexed. Long ones find long occurrences of a text whose last tokens are frequent. */
const LENGTHS = [8, 4, 2, 1];

/** Occurrences to find at most, and n-grams of each length to look at, so that no text makes a search slow. */
const MOST = 16;

/** A growing text that finds where its end occurred before. Takes constant time to add a token and constant time to search. */
export class Lookup {
  #tokens = new Int32Array(1024);
  #length = 0;
  readonly #indices = LENGTHS.map((length) => new NgramIndex(length));

  /** Number of tokens. */
  get length(): number {
    return this.#length;
  }

  /** The last token. */
  get last(): number {
    return this.#tokens[this.#length - 1]!;
  }

  /** Memory of the text and its indices: at most 72 bytes for each token, and 36 kB. */
  get bytes(): number {
    return this.#indices.reduce((sum, { bytes }) => sum + bytes, this.#tokens.byteLength);
  }

  append(tokens: ArrayLike<number>): void {
    const length = this.#length + tokens.length;
    if (length > this.#tokens.length) {
      const grown = new Int32Array(2 ** Math.ceil(Math.log2(length)));
      grown.set(this.#tokens.subarray(0, this.#length));
      this.#tokens = grown;
    }
    this.#tokens.set(tokens, this.#length);
    this.#length = length;
    for (const index of this.#indices) index.extend(this.#tokens, length);
  }

  /** Returns earlier occurrences of the end of the text: the longest first, the newest first among equals. */
  occurrences(): Occurrence[] {
    const found: Occurrence[] = [];
    let longer = Infinity;
    for (const index of this.#indices) {
      if (index.length <= this.#length) this.#collect(index, longer, found);
      longer = index.length;
    }
    return found.sort((a, b) => b.length - a.length || b.end - a.end);
  }

  /** Adds the newest occurrences of an index that are shorter than `longer`, because longer ones are known. */
  #collect(index: NgramIndex, longer: number, found: Occurrence[]): void {
    let end = index.before(this.#length);
    for (let looked = 0; end > 0 && looked < MOST && found.length < MOST; looked++) {
      const length = this.#common(end);
      if (length >= index.length && length < longer) found.push({ end, length });
      end = index.before(end);
    }
  }

  /** Counts the tokens before `end` that equal those at the end of the text. */
  #common(end: number): number {
    const tokens = this.#tokens;
    const most = Math.min(LONGEST, end);
    let length = 0;
    while (length < most && tokens[end - 1 - length] === tokens[this.#length - 1 - length]) length++;
    return length;
  }

  /**
   * Returns the token that followed an occurrence after `ahead` others. An occurrence that overlaps the end of the text is a period
   * of the text, which repeats.
   */
  following({ end }: Occurrence, ahead: number): number {
    return this.#tokens[end + (ahead % (this.#length - end))]!;
  }
}
