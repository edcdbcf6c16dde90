import type { Fields } from './fields';
import type { Normalizer } from './normalizers';
import { WHITE_SPACE, WORD } from './patterns';
import { Trie } from './trie';

/** A token that a tokenizer.json adds to the model's, and finds before the text is split into words. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Whether it is found only where no letter or digit is beside it. */
  readonly singleWord: boolean;
  /** Whether it takes the white space on its left, or right, with it. */
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  /** Whether it is looked for in the normalized text. */
  readonly normalized: boolean;
  /** Whether it controls the model, as the end of a text does, and is no text. */
  readonly special: boolean;
}

/**
 * Reads an added token. A token of the model's vocabulary keeps the id that it has there, as in the reference implementation.
 * @throws Error naming the field
 */
export function addedTokenOf(fields: Fields, idOf: ReadonlyMap<string, number>): AddedToken {
  const content = fields.string('content');
  const special = fields.boolean('special', false);
  return {
    id: idOf.get(content) ?? fields.integer('id'),
    content,
    singleWord: fields.boolean('single_word', false),
    lstrip: fields.boolean('lstrip', false),
    rstrip: fields.boolean('rstrip', false),
    normalized: fields.boolean('normalized', !special),
    special,
  };
}

/** A part of a text: an added token, or text between them. */
export type Section =
  | { readonly id: number }
  | {
      readonly text: string;
      /** Whether the whole text begins with the section. */
      readonly atStart: boolean;
    };

/** Finds added tokens in texts: those of the text as it is written, then those of the normalized text between them. */
export class AddedTokens {
  readonly #written: Finder;
  readonly #normalized: Finder;

  constructor(
    tokens: readonly AddedToken[],
    private readonly normalizer: Normalizer | null,
  ) {
    const inNormalized = tokens.filter(({ normalized }) => normalized);
    this.#written = new Finder(
      tokens.filter(({ normalized }) => !normalized).map((token) => [token.content, token]),
    );
    this.#normalized = new Finder(
      inNormalized.map((token) => [normalizer?.(token.content) ?? token.content, token]),
    );
  }

  /**
   * Splits a text into added tokens and normalized text.
   * @param skipsSpecial takes special tokens in the text for plain text
   */
  *split(text: string, skipsSpecial: boolean): Generator<Section, void, undefined> {
    for (const section of this.#written.split(text, true, skipsSpecial)) {
      if ('id' in section) {
        yield section;
        continue;
      }
      const normalized = this.normalizer ? this.normalizer(section.text) : section.text;
      yield* this.#normalized.split(normalized, section.atStart, skipsSpecial);
    }
  }
}

const ENDS_WITH_WORD = new RegExp(`[${WORD}]$`, 'u');
const BEGINS_WITH_WORD = new RegExp(`^[${WORD}]`, 'u');
const SPACE = new RegExp(`^${WHITE_SPACE}`, 'u');

/** Finds tokens in a text: at each place the longest. */
class Finder {
  readonly #tokens: readonly AddedToken[];
  readonly #trie: Trie;
  /** Whether a token begins with a code unit. */
  readonly #begins = new Uint8Array(0x10000);

  constructor(tokens: readonly (readonly [content: string, token: AddedToken])[]) {
    const found = tokens.filter(([content]) => content !== '');
    this.#tokens = found.map(([, token]) => token);
    this.#trie = new Trie(new Map(found.map(([content], i) => [content, i])));
    for (const [content] of found) this.#begins[content.charCodeAt(0)] = 1;
  }

  *split(text: string, atStart: boolean, skipsSpecial: boolean): Generator<Section, void, undefined> {
    let start = 0;
    const between = (end: number): Section[] =>
      end > start ? [{ text: text.slice(start, end), atStart: atStart && start === 0 }] : [];
    for (let at = 0; this.#tokens.length > 0 && at < text.length;) {
      const match = this.#begins[text.charCodeAt(at)] ? this.#longest(text, at) : null;
      if (!match) {
        at += 1;
        continue;
      }
      const { token, end } = match;
      const from = at;
      at = end;
      if ((skipsSpecial && token.special) || (token.singleWord && !isAlone(text, from, end))) continue;
      yield* between(token.lstrip ? beforeSpace(text, from) : from);
      yield { id: token.id };
      start = Math.max(start, token.rstrip ? afterSpace(text, end) : end);
    }
    yield* between(text.length);
  }

  #longest(text: string, at: number): { token: AddedToken; end: number } | null {
    let longest: { token: AddedToken; end: number } | null = null;
    this.#trie.search(text, at, (end, i) => (longest = { token: this.#tokens[i]!, end }));
    return longest;
  }
}

function isAlone(text: string, start: number, end: number): boolean {
  // Two code units hold the character beside the token.
  const [before, after] = [text.slice(Math.max(0, start - 2), start), text.slice(end, end + 2)];
  return !ENDS_WITH_WORD.test(before) && !BEGINS_WITH_WORD.test(after);
}

function beforeSpace(text: string, end: number): number {
  let start = end;
  while (start > 0 && SPACE.test(text.charAt(start - 1))) start -= 1;
  return start;
}

function afterSpace(text: string, start: number): number {
  let end = start;
  while (end < text.length && SPACE.test(text.charAt(end))) end += 1;
  return end;
}
