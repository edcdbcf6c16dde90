import { checkInteger, isInteger, shaped, type Checker } from '../../check';

/** Turns text into token ids and back. */
export interface Tokenizer {
  /** One more than the largest token id. A model's own vocabulary may be padded beyond it. */
  readonly vocabSize: number;
  /** The token that begins a text, where the tokenizer names one. */
  readonly bosId: number | undefined;
  /** The token that ends a document, where the tokenizer names one. */
  readonly eosId: number | undefined;
  /** The texts of the files that it was made from, by name (`tokenizer.json`, …): what a checkpoint keeps. */
  readonly files: TokenizerFiles;

  /**
   * The token ids of a text.
   * @param options.addSpecialTokens adds what the tokenizer puts around a text, for instance a token in front
   *   (default true). Special tokens written out in the text, such as `<|endoftext|>`, are recognised either way.
   */
  encode(text: string, options?: { addSpecialTokens?: boolean }): Int32Array;

  /**
   * The text of token ids. Ids without a token, which a padded vocabulary has, give no text; bytes that are not UTF-8 give U+FFFD.
   *
   * @param options.skipSpecialTokens leaves special tokens out of the text (default true).
   * @throws INVALID_ARGUMENT for ids that are not integers from 0.
   */
  decode(ids: Iterable<number>, options?: DecodeOptions): string;

  /** Decodes one text as its tokens arrive. */
  streamDecoder(options?: DecodeOptions): StreamDecoder;
}

/** One of one's own is taken, too. */
export const TOKENIZER: Checker<Tokenizer> = shaped<Tokenizer>('a Tokenizer', {
  vocabSize: 'number',
  encode: 'function',
  decode: 'function',
  streamDecoder: 'function',
});

/** How token ids become text. */
export interface DecodeOptions {
  /** Leaves special tokens out of the text. Default true. */
  skipSpecialTokens?: boolean;
}

/** All pieces of a text, one after another, are what `decode` gives for all its ids at once. */
export interface StreamDecoder {
  /** Takes the next tokens; returns the text that is now certain, never a part of a character. May be empty. */
  push(ids: Iterable<number>): string;
  /** Ends the text: returns what was held back (U+FFFD for an unfinished character) and starts afresh. */
  flush(): string;
}

/** Texts of files by name: `tokenizer.json`, and where there are any `tokenizer_config.json`, `special_tokens_map.json`. */
export type TokenizerFiles = Readonly<Record<string, string>>;

/** An added token of a tokenizer.json, as far as we use it. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

/**
 * The ids to make text from: all, or those that have a token and are not special.
 * @throws INVALID_ARGUMENT for ids that are not integers from 0.
 */
export function* idsWithText(
  ids: Iterable<number>,
  hasText: (id: number) => boolean,
): Generator<number, undefined, undefined> {
  for (const id of ids) {
    if (!isInteger(id, 0)) checkInteger('decode: token id', id, 0);
    if (hasText(id)) yield id;
  }
}
