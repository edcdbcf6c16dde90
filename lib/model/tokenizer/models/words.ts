import type { Fields } from '../fields';
import { noToken, type TokenModel } from './model';

/** Takes whole words as tokens. */
export class WordLevel implements TokenModel {
  readonly idOf: ReadonlyMap<string, number>;
  readonly #unknown: string;

  constructor(fields: Fields) {
    this.idOf = fields.ids('vocab');
    this.#unknown = fields.string('unk_token', '');
  }

  *encode(word: string): Generator<readonly number[], void, undefined> {
    const id = this.idOf.get(word) ?? this.idOf.get(this.#unknown);
    if (id === undefined) throw noToken(word);
    yield [id];
  }
}

/** WordPiece, as in BERT: takes the longest token that a word begins with, then the longest that continues it. */
export class WordPiece implements TokenModel {
  readonly idOf: ReadonlyMap<string, number>;
  readonly #unknown: string;
  readonly #prefix: string;
  readonly #longest: number;

  constructor(fields: Fields) {
    this.idOf = fields.ids('vocab');
    this.#unknown = fields.string('unk_token');
    this.#prefix = fields.string('continuing_subword_prefix', '##');
    this.#longest = fields.integer('max_input_chars_per_word', 100);
  }

  *encode(word: string): Generator<readonly number[], void, undefined> {
    const ids = this.#pieces(Array.from(word));
    const unknown = ids ? undefined : this.idOf.get(this.#unknown);
    if (!ids && unknown === undefined) throw noToken(word);
    yield ids ?? [unknown!];
  }

  #pieces(characters: readonly string[]): number[] | null {
    if (characters.length > this.#longest) return null;
    const ids: number[] = [];
    for (let start = 0; start < characters.length;) {
      let end = characters.length;
      let id: number | undefined;
      for (; end > start; end -= 1) {
        id = this.idOf.get((start > 0 ? this.#prefix : '') + characters.slice(start, end).join(''));
        if (id !== undefined) break;
      }
      if (id === undefined) return null;
      ids.push(id);
      start = end;
    }
    return ids;
  }
}
