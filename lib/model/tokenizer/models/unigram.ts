import { CharacterPairs } from '../character-pairs';
import type { Fields } from '../fields';
import { Trie } from '../trie';
import { byteIds, noToken, PAUSE, type TokenModel } from './model';

/** How much less likely than the rarest token an unknown character is, as in SentencePiece. */
const UNKNOWN_PENALTY = 10;
/** Longest word that is not searched for places that no token crosses. */
const SHORT = 256;
/** Characters between two pauses: a few milliseconds. */
const CHARACTERS_AT_ONCE = 1 << 13;
const UNKNOWN = -1;

/**
 * Unigram model (Kudo 2018, https://arxiv.org/abs/1804.10959): of all ways to split a word into tokens it takes the one with the
 * highest sum of scores (Viterbi).
 */
export class Unigram implements TokenModel {
  readonly idOf: ReadonlyMap<string, number>;
  readonly #scores: readonly number[];
  readonly #unknownScore: number;
  readonly #unknownId: number | null;
  readonly #byteFallback: boolean;
  readonly #trie: Trie;
  #inside: CharacterPairs | undefined;

  constructor(fields: Fields) {
    const vocabulary = fields.list('vocab', 'a token and its score', isScored);
    this.idOf = new Map(vocabulary.map(([token], id) => [token, id]));
    this.#scores = vocabulary.map(([, score]) => score);
    this.#unknownScore =
      this.#scores.reduce((least, score) => Math.min(least, score), Infinity) - UNKNOWN_PENALTY;
    this.#unknownId = fields.has('unk_id') ? fields.integer('unk_id') : null;
    if (this.#unknownId !== null && this.#unknownId >= vocabulary.length) {
      throw fields.error(`unk_id ${this.#unknownId} is not in the vocabulary`);
    }
    this.#byteFallback = fields.boolean('byte_fallback', false);
    this.#trie = new Trie(this.idOf);
  }

  *encode(word: string): Generator<readonly number[], void, undefined> {
    if (word.length <= SHORT) {
      yield* this.#best(word);
      return;
    }
    this.#inside ??= pairsInside(this.idOf.keys());
    for (const part of this.#inside.split(word, (character) => this.idOf.has(character)))
      yield* this.#best(part);
  }

  *#best(word: string): Generator<readonly number[], void, undefined> {
    const { length } = word;
    // By position: the score of the best way to get there, where its last token begins, and that token.
    const best = new Float64Array(length + 1).fill(-Infinity);
    const starts = new Int32Array(length + 1);
    const tokens = new Int32Array(length + 1);
    best[0] = 0;
    let pauseAt = CHARACTERS_AT_ONCE;
    for (let at = 0, width; at < length; at += width) {
      if (at >= pauseAt) {
        yield PAUSE;
        pauseAt = at + CHARACTERS_AT_ONCE;
      }
      width = word.codePointAt(at)! > 0xffff ? 2 : 1;
      const single = at + width;
      let isKnown = false;
      const reach = (end: number, id: number, score: number): void => {
        if (best[at]! + score <= best[end]!) return;
        best[end] = best[at]! + score;
        starts[end] = at;
        tokens[end] = id;
      };
      this.#trie.search(word, at, (end, id) => {
        isKnown ||= end === single;
        reach(end, id, this.#scores[id]!);
      });
      if (!isKnown) reach(single, UNKNOWN, this.#unknownScore);
    }
    const ids: number[] = [];
    for (let end = length; end > 0;) {
      let start = starts[end]!;
      const id = tokens[end]!;
      if (this.#isUnknown(id)) {
        while (start > 0 && this.#isUnknown(tokens[start]!)) start = starts[start]!;
        for (const unknown of this.#unknown(word.slice(start, end)).reverse()) ids.push(unknown);
      } else {
        ids.push(id);
      }
      end = start;
    }
    yield ids.reverse();
  }

  #isUnknown(id: number): boolean {
    return id === UNKNOWN || id === this.#unknownId;
  }

  /** Returns the ids of characters that are no tokens, which are one unknown token together. */
  #unknown(text: string): number[] {
    const whole = this.idOf.get(text);
    if (whole !== undefined) return [whole];
    const bytes = this.#byteFallback ? byteIds(text, this.idOf) : null;
    if (bytes) return bytes;
    if (this.#unknownId === null) throw noToken(text);
    return [this.#unknownId];
  }
}

/** Collects the characters that are neighbours inside a token. */
function pairsInside(tokens: Iterable<string>): CharacterPairs {
  const inside = new CharacterPairs();
  for (const token of tokens) {
    let left: number | undefined;
    for (const character of token) {
      const right = character.codePointAt(0)!;
      if (left !== undefined) inside.add(left, right);
      left = right;
    }
  }
  return inside;
}

function isScored(value: unknown): value is [string, number] {
  return (
    Array.isArray(value) && value.length === 2 && typeof value[0] === 'string' && typeof value[1] === 'number'
  );
}
