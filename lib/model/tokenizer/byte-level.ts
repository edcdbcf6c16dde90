import { isJsonObject } from '../../files';
import { BYTE_ALPHABET } from './alphabet';
import { EMPTY_BPE } from './empty-bpe';
import {
  idsWithText,
  type DecodeOptions,
  type EncodeOptions,
  type StreamDecodeOptions,
  type StreamDecoder,
  type Tokenizer,
  type TokenizerFiles,
} from './interface';
import { joinIds } from './join-ids';

export const BYTES = 256;
const END_OF_TEXT = '<|endoftext|>';

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
      ...EMPTY_BPE,
      vocab: Object.fromEntries(BYTE_ALPHABET.map((character, byte) => [character, byte])),
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

/** A special token beside the bytes. */
interface SpecialToken {
  readonly id: number;
  readonly content: string;
}

/**
 * Returns the special tokens of a tokenizer.json that equals `byteTokenizerJson` of these tokens, so that `ByteTokenizer` can replace
 * it; undefined for any other tokenizer.json.
 */
export function byteLevelSpecials(json: Record<string, unknown>): SpecialToken[] | undefined {
  const { added_tokens: added, model } = json;
  // Merges rule out most files at once: to compare a large one takes seconds.
  if (!Array.isArray(added) || !isJsonObject(model) || hasElements(model.merges)) return undefined;
  const specials = added.filter(isJsonObject);
  const reference = byteTokenizerJson(specials.map(({ content }) => String(content)));
  // Compares everything, because any unknown key may make another tokenizer.
  return canonicalJson(json) === canonicalJson(reference)
    ? (specials as unknown as SpecialToken[])
    : undefined;
}

function hasElements(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0;
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
    specials: readonly SpecialToken[],
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

  encode(text: string, { splitSpecialTokens = false }: EncodeOptions = {}): Int32Array {
    const splitter = splitSpecialTokens ? undefined : this.#splitter;
    const parts = (splitter ? text.split(splitter) : [text]).map((part) => {
      const special = splitter && this.#specialIds.get(part);
      return special === undefined ? Buffer.from(part, 'utf8') : [special];
    });
    return joinIds(parts);
  }

  decode(ids: Iterable<number>, options?: DecodeOptions): string {
    const decoder = this.streamDecoder(options);
    return decoder.push(ids) + decoder.flush();
  }

  streamDecoder({ skipSpecialTokens = true, after = [] }: StreamDecodeOptions = {}): StreamDecoder {
    const end = skipSpecialTokens ? BYTES : this.vocabSize;
    // A byte order mark is text like any other.
    const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
    const decoder: StreamDecoder = {
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
    decoder.push(after);
    return decoder;
  }
}
