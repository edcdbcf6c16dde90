import type { Metadata } from './metadata';

/** The kinds of token that matter here, as `tokenizer.ggml.token_type` numbers them. */
export const KINDS = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/** Special tokens of SentencePiece, which files need not name. */
const SENTENCE_PIECE_IDS: Readonly<Record<string, number>> = { unknown: 0, bos: 1, eos: 2 };

/** The tokens of a file. */
export class Vocabulary {
  readonly tokens: readonly string[];
  readonly #kinds: readonly number[] | undefined;
  /** `tokenizer.ggml.scores`: the higher the score of a token, the earlier it is merged. */
  readonly scores: readonly number[] | undefined;

  constructor(private readonly metadata: Metadata) {
    const key = 'tokenizer.ggml.tokens';
    this.tokens = metadata.required(key, metadata.strings(key));
    this.#kinds = this.#perToken('tokenizer.ggml.token_type');
    this.scores = this.#perToken('tokenizer.ggml.scores');
  }

  #perToken(key: string): number[] | undefined {
    const values = this.metadata.numbers(key);
    if (values && values.length !== this.tokens.length) {
      this.metadata.fail(key, `has ${values.length} elements, but there are ${this.tokens.length} tokens`);
    }
    return values;
  }

  kind(id: number): number {
    return this.#kinds?.[id] ?? KINDS.normal;
  }

  /** Returns the id of a special token, `name` being `bos`, `eos`, …; undefined if the file names none. */
  special(name: string): number | undefined {
    const key = `tokenizer.ggml.${name}_token_id`;
    const usual =
      this.metadata.string('tokenizer.ggml.model') === 'llama' ? SENTENCE_PIECE_IDS[name] : undefined;
    const id = this.metadata.integer(key) ?? usual;
    if (id !== undefined && id >= this.tokens.length) {
      this.metadata.fail(key, `is ${id}, but there are ${this.tokens.length} tokens`);
    }
    return id;
  }

  /** Maps tokens of text to ids. Unused ids have no token, because their texts are placeholders. */
  toIds(): Map<string, number> {
    const ids = new Map<string, number>();
    this.tokens.forEach((token, id) => {
      if (this.kind(id) === KINDS.unused) return;
      const first = ids.get(token);
      if (first !== undefined) {
        this.metadata.fail(
          'tokenizer.ggml.tokens',
          `has ${JSON.stringify(token)} twice, as ${first} and ${id}`,
        );
      }
      ids.set(token, id);
    });
    return ids;
  }
}

/**
 * Texts of tokens that end a text although the file may not name them: the end of a turn where the metadata only have that of a document,
 * and the reverse. llama.cpp finds them in the same way.
 */
export const ENDS: readonly string[] = [
  '</s>',
  '<|endoftext|>',
  '<|end_of_text|>',
  '<|eot_id|>',
  '<|eom_id|>',
  '<|im_end|>',
  '<|end|>',
  '<end_of_turn>',
];

/** Lists the tokens that end a text, the one that the file names first. */
export function endTokens(vocabulary: Vocabulary): number[] {
  const named = ['eos', 'eot', 'eom'].map((name) => vocabulary.special(name));
  const found = vocabulary.tokens.flatMap((token, id) =>
    vocabulary.kind(id) === KINDS.control && ENDS.includes(token) ? [id] : [],
  );
  return [...new Set([...named.filter((id) => id !== undefined), ...found])];
}
