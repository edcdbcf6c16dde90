import { checkInteger, shaped, type Checker } from '../../check';

/** Converts text to token ids and back. */
export interface Tokenizer {
  /** One more than the largest token id. A model's vocabulary may be padded to more. */
  readonly vocabSize: number;
  /** The token that begins a text, if the tokenizer names one. */
  readonly bosId: number | undefined;
  /** The token that ends a document, if the tokenizer names one. */
  readonly eosId: number | undefined;
  /** The texts of the tokenizer's files by name (`tokenizer.json`, …), which checkpoints contain. */
  readonly files: TokenizerFiles;

  /** Converts a text to token ids. */
  encode(text: string, options?: EncodeOptions): Int32Array;

  /**
   * Does the same piece by piece, each piece in a few milliseconds, so that the caller can pause between them. A tokenizer without
   * this method encodes any text at once.
   */
  encodeInPieces?(text: string, options?: EncodeOptions): Iterable<Int32Array>;

  /**
   * Converts token ids to text. Ids without a token, which a padded vocabulary has, give no text; bytes that are not UTF-8 give U+FFFD.
   *
   * @param options.skipSpecialTokens leaves special tokens out of the text (default true).
   * @throws INVALID_ARGUMENT for ids that are not integers of at least 0
   */
  decode(ids: Iterable<number>, options?: DecodeOptions): string;

  /** Decodes one text as its tokens arrive. */
  streamDecoder(options?: StreamDecodeOptions): StreamDecoder;
}

/** Options of encoding, named as in Hugging Face's transformers. */
export interface EncodeOptions {
  /** Adds the special tokens that the tokenizer puts around a text, as a token at the beginning. Default true. */
  addSpecialTokens?: boolean;
  /**
   * Splits special tokens that are written in the text, such as `<|endoftext|>`, like any other text, so that they do not control
   * the model. Default false.
   */
  splitSpecialTokens?: boolean;
}

/** Any object with these properties, because callers may have tokenizers of their own. */
export const TOKENIZER: Checker<Tokenizer> = shaped<Tokenizer>('a Tokenizer', {
  vocabSize: 'number',
  encode: 'function',
  decode: 'function',
  streamDecoder: 'function',
});

/** Options of decoding. */
export interface DecodeOptions {
  /** Leaves special tokens out of the text. Default true. */
  skipSpecialTokens?: boolean;
}

/** Options of decoding a text piece by piece. */
export interface StreamDecodeOptions extends DecodeOptions {
  /**
   * Token ids that the text continues. Their own text is not returned, but a continuation keeps a leading space, which some
   * tokenizers drop at the beginning of a text. Default: none, the text begins here.
   */
  after?: Iterable<number>;
}

/** Decodes a text piece by piece; the pieces together are the text that `decode` returns for all ids. */
export interface StreamDecoder {
  /** Takes the next tokens and returns the text that is now certain, without parts of a character. May be empty. */
  push(ids: Iterable<number>): string;
  /** Ends the text: returns the rest (U+FFFD for an unfinished character) and starts a new text. */
  flush(): string;
}

/**
 * Texts of files by name: `tokenizer.json`, and optionally `tokenizer_config.json`, `special_tokens_map.json` and a chat template in
 * `chat_template.jinja` or `chat_template.json`.
 */
export type TokenizerFiles = Readonly<Record<string, string>>;

/**
 * Checks ids and filters those with text.
 * @throws INVALID_ARGUMENT for ids that are not integers of at least 0
 */
export function* idsWithText(
  ids: Iterable<number>,
  hasText: (id: number) => boolean,
): Generator<number, undefined, undefined> {
  for (const id of ids) {
    checkInteger('decode: token id', id, 0);
    if (hasText(id)) yield id;
  }
}
