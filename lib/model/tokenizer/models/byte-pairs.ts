import { CharacterPairs } from '../character-pairs';
import type { Fields } from '../fields';
import { PairTable } from '../pair-table';
import { Heap } from './heap';
import { byteIds, noToken, PAUSE, type TokenModel } from './model';

/** Longest word whose tokens are remembered, and the number of such words. */
const LONGEST_KEPT = 64;
const MOST_KEPT = 1 << 15;
/** Longest word that is merged as a whole without looking for places that no merge crosses. */
const SHORT = 16;
/** Merges between two pauses: a few milliseconds. */
const MERGES_AT_ONCE = 1 << 13;
/** Distance of neighbouring ranks among the keys of the heap; a word has fewer characters. */
const RANK = 2 ** 32;

/**
 * Byte-pair encoding (Sennrich et al. 2016, https://arxiv.org/abs/1508.07909): characters are merged to tokens, the pair that was
 * merged first in training first. Takes n log n steps for a word of n characters. Long words are split where no merge can cross.
 */
export class BytePairs implements TokenModel {
  readonly idOf: ReadonlyMap<string, number>;
  /** The rank of each pair's merge, and the token that each merge gives. */
  readonly #ranks: PairTable;
  readonly #merged: Int32Array;
  readonly #unknown: string | null;
  readonly #prefix: string;
  readonly #suffix: string;
  readonly #fusesUnknown: boolean;
  readonly #byteFallback: boolean;
  readonly #ignoresMerges: boolean;
  readonly #kept = new Map<string, readonly number[]>();
  /** Characters that a merge may join; null if merges may join anything. */
  readonly #joined: CharacterPairs | null;

  constructor(fields: Fields) {
    this.idOf = fields.ids('vocab');
    this.#unknown = fields.has('unk_token') ? fields.string('unk_token') : null;
    this.#prefix = fields.string('continuing_subword_prefix', '');
    this.#suffix = fields.string('end_of_word_suffix', '');
    this.#fusesUnknown = fields.boolean('fuse_unk', false);
    this.#byteFallback = fields.boolean('byte_fallback', false);
    this.#ignoresMerges = fields.boolean('ignore_merges', false);
    const merges = fields.list('merges', 'two tokens', isMerge).map(tokensOfMerge);
    this.#ranks = new PairTable(merges.length);
    const idOf = (token: string, rank: number): number => {
      const id = this.idOf.get(token);
      if (id !== undefined) return id;
      throw fields.error(`merges[${rank}] has ${JSON.stringify(token)}, which is not in the vocabulary`);
    };
    this.#merged = Int32Array.from(merges, ([left, right], rank) => {
      this.#ranks.set(idOf(left, rank), idOf(right, rank), rank);
      return idOf(left + right.slice(this.#prefix.length), rank);
    });
    this.#joined = this.#prefix === '' && this.#suffix === '' ? joints(merges) : null;
  }

  *encode(word: string): Generator<readonly number[], void, undefined> {
    const whole = this.#ignoresMerges ? this.idOf.get(word) : undefined;
    if (whole !== undefined) {
      yield [whole];
      return;
    }
    if (word.length <= SHORT || !this.#joined) {
      yield* this.#tokens(word);
      return;
    }
    for (const part of this.#joined.split(word, (character) => this.idOf.has(character))) {
      yield* this.#tokens(part);
    }
  }

  *#tokens(word: string): Generator<readonly number[], void, undefined> {
    let ids = this.#kept.get(word);
    if (!ids) {
      ids = yield* this.#merge(this.#symbols(word));
      if (this.#kept.size === MOST_KEPT) this.#kept.clear();
      if (word.length <= LONGEST_KEPT) this.#kept.set(word, ids);
    }
    yield ids;
  }

  /** Returns the ids of the characters of a word. */
  #symbols(word: string): number[] {
    const ids: number[] = [];
    let lastIsUnknown = false;
    let at = 0;
    for (const character of word) {
      const isFirst = at === 0;
      at += character.length;
      const symbol = (isFirst ? '' : this.#prefix) + character + (at === word.length ? this.#suffix : '');
      const id = this.idOf.get(symbol);
      const known = id !== undefined ? [id] : this.#byteFallback ? byteIds(symbol, this.idOf) : null;
      if (known) ids.push(...known);
      else if (this.#unknown !== null && !(lastIsUnknown && this.#fusesUnknown))
        ids.push(this.#unknownId(symbol));
      // A vocabulary without an unknown token leaves the character out, as the reference implementation does.
      lastIsUnknown = !known;
    }
    return ids;
  }

  #unknownId(symbol: string): number {
    const id = this.idOf.get(this.#unknown!);
    if (id === undefined) throw noToken(symbol);
    return id;
  }

  /** Merges symbols in place, the pair of the lowest rank first, of several the first in the word. */
  *#merge(symbols: number[]): Generator<readonly number[], readonly number[], undefined> {
    const { length } = symbols;
    const next = symbols.map((_, at) => at + 1);
    const previous = symbols.map((_, at) => at - 1);
    const heap = new Heap();
    const consider = (at: number): void => {
      const right = next[at]!;
      if (right >= length) return;
      const rank = this.#ranks.get(symbols[at]!, symbols[right]!);
      if (rank >= 0) heap.push(rank * RANK + at);
    };
    for (let at = 0; at < length - 1; at += 1) {
      consider(at);
      if (at % MERGES_AT_ONCE === MERGES_AT_ONCE - 1) yield PAUSE;
    }
    for (let merges = 1; heap.size > 0; merges += 1) {
      if (merges % MERGES_AT_ONCE === 0) yield PAUSE;
      const key = heap.pop();
      const rank = Math.floor(key / RANK);
      const at = key % RANK;
      const right = next[at]!;
      // Earlier merges may have taken one of the two.
      if (symbols[at]! < 0 || right >= length || this.#ranks.get(symbols[at]!, symbols[right]!) !== rank)
        continue;
      symbols[at] = this.#merged[rank]!;
      symbols[right] = -1;
      next[at] = next[right]!;
      if (next[at] < length) previous[next[at]] = at;
      if (previous[at]! >= 0) consider(previous[at]!);
      consider(at);
    }
    return symbols.filter((id) => id >= 0);
  }
}

/** Collects the characters that meet where two tokens are merged. */
function joints(merges: readonly (readonly [left: string, right: string])[]): CharacterPairs {
  const joined = new CharacterPairs();
  for (const [left, right] of merges) joined.add(lastCodePoint(left), right.codePointAt(0) ?? 0);
  return joined;
}

function lastCodePoint(text: string): number {
  const pair = text.slice(-2).codePointAt(0) ?? 0;
  return pair > 0xffff ? pair : text.charCodeAt(text.length - 1);
}

/** A merge is a string with one space between the tokens, or, for tokens with spaces, a list of the two. */
function isMerge(value: unknown): value is string | [string, string] {
  if (typeof value === 'string') return value.split(' ').length === 2;
  return Array.isArray(value) && value.length === 2 && value.every((token) => typeof token === 'string');
}

function tokensOfMerge(merge: string | [string, string]): readonly [string, string] {
  return typeof merge === 'string' ? (merge.split(' ') as [string, string]) : merge;
}
