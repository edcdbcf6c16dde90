import type { Metadata } from './metadata';

/** How a byte-level tokenizer splits a text into words before it merges. */
export interface PreTokenizer {
  /** Regular expressions, each of which splits the pieces that the ones before it left; every match is a piece, and so is what lies between. */
  readonly splits: readonly string[];
  /** Whether a whole word that is a token is taken as it is, without merges. */
  readonly ignoreMerges?: boolean;
  /** Whether a text begins with the token for that, unless the file says otherwise. */
  readonly addsBos?: boolean;
  /** Whether Unicode's composed forms (NFC) replace decomposed ones first. */
  readonly composes?: boolean;
}

const CONTRACTION = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const TAIL = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';

/** GPT-2's words, which a ByteLevel pre-tokenizer has built in. */
export const SPLIT_GPT2 =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
/** Single digits. */
export const SPLIT_DIGITS = '\\p{N}';
const LLAMA3 = `${CONTRACTION}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|${TAIL}`;
const QWEN2 = `${CONTRACTION}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|${TAIL}`;
const QWEN35 = `${CONTRACTION}|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;

const UPPER = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]';
const LOWER = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]';
/** Words that begin with capitals and go on in small letters. */
const cased = (ending: string): string =>
  [`${UPPER}*${LOWER}+`, `${UPPER}+${LOWER}*`]
    .map((word) => `[^\\r\\n\\p{L}\\p{N}]?${word}${ending}`)
    .join('|');
const CASED_TAIL = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
const GPT4O = `${cased(`${CONTRACTION}?`)}|\\p{N}{1,3}|${CASED_TAIL}`;
const TEKKEN = `${cased('')}|\\p{N}|${CASED_TAIL}`;

const DEEPSEEK3 = [
  '\\p{N}{1,3}',
  '[一-龥぀-ゟ゠-ヿ]+',
  '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+',
];

const llama3: PreTokenizer = { splits: [LLAMA3], ignoreMerges: true, addsBos: true };
const gpt2: PreTokenizer = { splits: [SPLIT_GPT2] };
const qwen2: PreTokenizer = { splits: [QWEN2], composes: true };
const digits: PreTokenizer = { splits: [SPLIT_DIGITS, SPLIT_GPT2] };
const dbrx: PreTokenizer = { splits: [LLAMA3] };
const gpt4o: PreTokenizer = { splits: [GPT4O] };

/**
 * By `tokenizer.ggml.pre`: the names that occur in models of the architectures that are read. The expressions are those of the
 * tokenizer.json of such models, which llama.cpp quotes in src/llama-vocab.cpp.
 */
const PRE_TOKENIZERS: Readonly<Record<string, PreTokenizer>> = {
  'gpt-2': gpt2,
  'phi-2': gpt2,
  olmo: gpt2,
  mellum: gpt2,
  trillion: gpt2,
  'llama-bpe': llama3,
  'llama-v3': llama3,
  llama3,
  falcon3: llama3,
  pixtral: llama3,
  'midm-2.0': llama3,
  lfm2: llama3,
  dbrx,
  'smaug-bpe': dbrx,
  glm4: dbrx,
  'chatglm-bpe': dbrx,
  qwen2,
  stablelm2: { splits: [QWEN2] },
  'deepseek-r1-qwen': { splits: [QWEN2] },
  megrez: { splits: [QWEN2] },
  qwen35: { splits: [QWEN35] },
  starcoder: digits,
  refact: digits,
  smollm: digits,
  'command-r': digits,
  'minerva-7b': digits,
  'gpt-4o': gpt4o,
  kanana2: gpt4o,
  tekken: { splits: [TEKKEN], ignoreMerges: true, addsBos: true },
  'deepseek-coder': { splits: ['[\\r\\n]', '\\s?\\p{L}+', '\\s?\\p{P}+', '[一-龥ࠀ-一가-퟿]+', '\\p{N}'] },
  'deepseek-v3': { splits: DEEPSEEK3 },
};

/** @throws INVALID_CONFIG for a name that is not known: another way to split would give other tokens without a word */
export function preTokenizer(metadata: Metadata): PreTokenizer {
  const key = 'tokenizer.ggml.pre';
  const name = metadata.required(key, metadata.string(key));
  if (Object.hasOwn(PRE_TOKENIZERS, name)) return PRE_TOKENIZERS[name]!;
  return metadata.fail(
    key,
    `is "${name}", which is not known; known are ${Object.keys(PRE_TOKENIZERS).join(', ')}`,
  );
}

/** Returns the first name of a way to split; undefined if there is none. */
export function preTokenizerName(splits: readonly string[], ignoresMerges: boolean): string | undefined {
  return Object.keys(PRE_TOKENIZERS).find((name) => {
    const { splits: theirs, ignoreMerges = false } = PRE_TOKENIZERS[name]!;
    return ignoreMerges === ignoresMerges && theirs.join('\n') === splits.join('\n');
  });
}
