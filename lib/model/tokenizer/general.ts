import { ForetokenError } from '../../errors';
import {
  idsWithText,
  type DecodeOptions,
  type StreamDecoder,
  type Tokenizer,
  type TokenizerFiles,
} from './interface';
import type { Library } from './library';

/** Runs any tokenizer.json with `@huggingface/tokenizers`. */
export class GeneralTokenizer implements Tokenizer {
  readonly vocabSize: number;
  readonly #vocabulary: readonly (string | undefined)[];
  readonly #specialIds: ReadonlySet<number>;

  constructor(
    private readonly library: Library,
    readonly files: TokenizerFiles,
    readonly bosId: number | undefined,
    readonly eosId: number | undefined,
  ) {
    this.#vocabulary = library.model.vocab;
    this.vocabSize = this.#vocabulary.length;
    const added = [...library.get_added_tokens_decoder()];
    this.#specialIds = new Set(added.filter(([, { special }]) => special).map(([id]) => id));
  }

  encode(text: string, { addSpecialTokens = true }: { addSpecialTokens?: boolean } = {}): Int32Array {
    const { ids, tokens } = this.library.encode(text, { add_special_tokens: addSpecialTokens });
    const unknown = ids.indexOf(undefined);
    if (unknown >= 0) {
      const token = JSON.stringify(tokens[unknown]);
      throw new ForetokenError(
        'INVALID_CONFIG',
        `tokenizer.json: token ${token} has no id, and the tokenizer has no unknown token`,
      );
    }
    return Int32Array.from(ids as number[]);
  }

  decode(ids: Iterable<number>, { skipSpecialTokens = true }: DecodeOptions = {}): string {
    return this.#textOf([...idsWithText(ids, (id) => this.#hasText(id, skipSpecialTokens))]);
  }

  streamDecoder({ skipSpecialTokens = true }: DecodeOptions = {}): StreamDecoder {
    // The text of a token may depend on its neighbours: several tokens may hold the bytes of one character, and only the start of a
    // text drops a leading space. So every new token decodes a window of tokens again, of which the first `context` have been returned
    // completely, and the text `given` in all.
    let window: number[] = [];
    let context = 0;
    let given = '';
    const next = (final: boolean): string => {
      const text = this.#textOf(window);
      // U+FFFD at the end is most likely the beginning of a character.
      const certain = !final && text.endsWith('\ufffd') ? text.slice(0, -1) : text;
      const piece = certain.slice(given.length);
      given += piece;
      if (certain.length === text.length && piece !== '') {
        window = window.slice(context);
        context = window.length;
        given = this.#textOf(window);
      }
      return piece;
    };
    return {
      push: (ids) => {
        let text = '';
        for (const id of idsWithText(ids, (candidate) => this.#hasText(candidate, skipSpecialTokens))) {
          window.push(id);
          text += next(false);
        }
        return text;
      },
      flush: () => {
        const text = next(true);
        window = [];
        context = 0;
        given = '';
        return text;
      },
    };
  }

  #hasText(id: number, skipSpecialTokens: boolean): boolean {
    return this.#vocabulary[id] !== undefined && !(skipSpecialTokens && this.#specialIds.has(id));
  }

  #textOf(ids: number[]): string {
    // No cleanup, because it would change spaces of the text, and a stream cannot do it.
    return ids.length === 0 ? '' : this.library.decode(ids, { clean_up_tokenization_spaces: false });
  }
}
