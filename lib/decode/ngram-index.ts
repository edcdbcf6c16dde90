/** Buckets of an empty index; a power of two. */
const FIRST_BUCKETS = 1024;

/**
 * Occurrences of the n-grams of a growing text, newest first: a hash table of chains, as in Ziv-Lempel compressors. Takes two
 * integers for each token, and constant time to add one.
 */
export class NgramIndex {
  /** The newest end of an n-gram with each hash; 0 for none. An n-gram ends before the token at its end. */
  #newest = new Int32Array(FIRST_BUCKETS);
  /** By end: the end before it with the same hash; 0 for none. */
  #previous = new Int32Array(FIRST_BUCKETS);
  #end: number;

  /** @param length n: tokens of an n-gram */
  constructor(readonly length: number) {
    this.#end = length - 1;
  }

  get bytes(): number {
    return this.#newest.byteLength + this.#previous.byteLength;
  }

  /** Adds the n-grams that end at most at `end`, those that are known excepted. */
  extend(tokens: Int32Array, end: number): void {
    if (end >= this.#previous.length) this.#grow(tokens, end);
    while (this.#end < end) this.#add(tokens, ++this.#end);
  }

  /**
   * Returns the end before `end` of an n-gram with the same hash; 0 for none. Few of these n-grams are another one.
   * @param end at most the last one added
   */
  before(end: number): number {
    return this.#previous[end]!;
  }

  #add(tokens: Int32Array, end: number): void {
    const bucket = this.#bucket(tokens, end);
    this.#previous[end] = this.#newest[bucket]!;
    this.#newest[bucket] = end;
  }

  #bucket(tokens: Int32Array, end: number): number {
    let hash = 0;
    for (let i = end - this.length; i < end; i++) {
      hash = Math.imul(hash ^ tokens[i]!, 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    return hash & (this.#newest.length - 1);
  }

  /** Makes room for twice the text and adds all n-grams again, which doubles the time of adding them once. */
  #grow(tokens: Int32Array, end: number): void {
    const last = this.#end;
    const size = 2 ** Math.ceil(Math.log2(end + 1));
    this.#newest = new Int32Array(size);
    this.#previous = new Int32Array(size);
    for (this.#end = this.length - 1; this.#end < last;) this.#add(tokens, ++this.#end);
  }
}
