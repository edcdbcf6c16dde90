import { isJsonObject } from '../../files';
import {
  idsWithText,
  type AddedToken,
  type DecodeOptions,
  type StreamDecoder,
  type Tokenizer,
  type TokenizerFiles,
} from './interface';

export const BYTES = 256;
const END_OF_TEXT = '<|endoftext|>';

/**
 * Lists the visible character for each byte in a byte-level tokenizer.json, GPT-2's alphabet: printable Latin-1 characters for
 * themselves, and the characters from U+0100 on for the other bytes, in order.
 */
function byteAlphabet(): string[] {
  const printable = (byte: number) => (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
  let others = 0;
  return Array.from({ length: BYTES }, (_, byte) =>
    String.fromCharCode(printable(byte) ? byte : BYTES + others++),
  );
}

/**
 * Makes the contents of a tokenizer.json whose token ids 0 … 255 are the bytes of the UTF-8 text, and whose ids from 256 are the given
 * special tokens: a byte-pair encoding without pairs, which every reader of such files can open.
 */
export function byteTokenizerJson(specialTokens: readonly string[] = [END_OF_TEXT]): Record<string, unknown> {
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false };
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: specialTokens.map((content, i) => ({
      id: BYTES + i,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(byteAlphabet().map((character, byte) => [character, byte])),
      merges: [],
    },
  };
}

/** Makes the files of the byte-level tokenizer of new models, in which `<|endoftext|>`, id 256, ends documents. */
export function byteTokenizerFiles(): TokenizerFiles {
  const config = {
    tokenizer_class: 'PreTrainedTokenizerFast',
    bos_token: END_OF_TEXT,
    eos_token: END_OF_TEXT,
  };
  return {
    'tokenizer.json': JSON.stringify(byteTokenizerJson(), undefined, 2),
    'tokenizer_config.json': JSON.stringify(config, undefined, 2),
  };
}

/**
 * Returns the special tokens of a tokenizer.json that equals `byteTokenizerJson` of these tokens, so that `ByteTokenizer` can replace
 * it; undefined for any other tokenizer.json.
 */
export function byteLevelSpecials(json: Record<string, unknown>): AddedToken[] | undefined {
  const added = json.added_tokens;
  if (!Array.isArray(added)) return undefined;
  const specials = added.filter(isJsonObject);
  const reference = byteTokenizerJson(specials.map(({ content }) => String(content)));
  // Compares everything, because any unknown key may make another tokenizer.
  return canonicalJson(json) === canonicalJson(reference) ? (specials as unknown as AddedToken[]) : undefined;
}

function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    isJsonObject(part) ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1))) : part,
  );
}

/**
 * Does the same as the general tokenizer for `byteTokenizerJson`, but hundreds of times faster and without a hundred bytes of memory
 * for each token. Every byte of a corpus is a token here.
 */
export class ByteTokenizer implements Tokenizer {
  readonly vocabSize: number;
  readonly #specials: ReadonlyMap<number, string>;
  readonly #specialIds: ReadonlyMap<string, number>;
  /** Splits at the special tokens and keeps them; of several at one place, it takes the longest. */
  readonly #splitter: RegExp | undefined;

  constructor(
    readonly files: TokenizerFiles,
    specials: readonly AddedToken[],
    readonly bosId: number | undefined,
    readonly eosId: number | undefined,
  ) {
    this.vocabSize = BYTES + specials.length;
    this.#specials = new Map(specials.map(({ id, content }) => [id, content]));
    this.#specialIds = new Map(specials.map(({ id, content }) => [content, id]));
    const longestFirst = [...this.#specialIds.keys()].sort((a, b) => b.length - a.length);
    const patterns = longestFirst.map((content) => content.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'));
    if (patterns.length > 0) this.#splitter = new RegExp(`(${patterns.join('|')})`);
  }

  encode(text: string): Int32Array {
    const parts = (this.#splitter ? text.split(this.#splitter) : [text]).map((part) => {
      const special = this.#specialIds.get(part);
      return special === undefined ? Buffer.from(part, 'utf8') : [special];
    });
    const ids = new Int32Array(parts.reduce((length, part) => length + part.length, 0));
    let position = 0;
    for (const part of parts) {
      ids.set(part, position);
      position += part.length;
    }
    return ids;
  }

  decode(ids: Iterable<number>, options?: DecodeOptions): string {
    const decoder = this.streamDecoder(options);
    return decoder.push(ids) + decoder.flush();
  }

  streamDecoder({ skipSpecialTokens = true }: DecodeOptions = {}): StreamDecoder {
    const end = skipSpecialTokens ? BYTES : this.vocabSize;
    // A byte order mark is text like any other.
    const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
    return {
      push: (ids) => {
        let text = '';
        let bytes: number[] = [];
        for (const id of idsWithText(ids, (candidate) => candidate < end)) {
          const special = this.#specials.get(id);
          if (special === undefined) {
            bytes.push(id);
          } else {
            text += utf8.decode(Uint8Array.from(bytes)) + special;
            bytes = [];
          }
        }
        return text + utf8.decode(Uint8Array.from(bytes), { stream: true });
      },
      flush: () => utf8.decode(),
    };
  }
}
