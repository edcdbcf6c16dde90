import type { GgufValue } from '../../../lib/model/gguf/format';
import { Metadata } from '../../../lib/model/gguf/metadata';
import { translateTokenizer } from '../../../lib/model/gguf/tokenizer';
import { endTokens, KINDS, Vocabulary } from '../../../lib/model/gguf/vocabulary';
import { byteTokenizerJson, createTokenizer, type Tokenizer } from '../../../lib/model/tokenizer';
import { foretokenError } from '../../support/errors';

type Entries = Record<string, GgufValue>;

function filesOf(entries: Entries) {
  const metadata = new Metadata('a.gguf', new Map(Object.entries(entries)));
  return translateTokenizer(metadata, new Vocabulary(metadata));
}

const tokenizerOf = (entries: Entries): Tokenizer => createTokenizer(filesOf(entries));
const configOf = (entries: Entries) =>
  JSON.parse(filesOf(entries)['tokenizer_config.json']!) as Record<string, unknown>;

/** The letters that stand for bytes, by byte. */
const LETTERS = Object.entries(
  (byteTokenizerJson() as { model: { vocab: Record<string, number> } }).model.vocab,
).sort(([, a], [, b]) => a - b);

/** Merges each word from left to right, so that a word is one token if it is not split. */
function mergesOf(words: readonly string[]): string[] {
  const letters = (word: string) => Array.from(Buffer.from(word), (byte) => LETTERS[byte]![0]);
  const all = words.flatMap((word) =>
    letters(word).map((letter, i, whole) => (i === 0 ? '' : `${whole.slice(0, i).join('')} ${letter}`)),
  );
  return [...new Set(all.filter((merge) => merge !== ''))];
}

/** A byte-level vocabulary of bytes, merges and special tokens. */
function byteLevel(pre: string, words: readonly string[], more: Entries = {}): Entries {
  const merges = mergesOf(words);
  const tokens = [...LETTERS.map(([letter]) => letter), ...merges.map((merge) => merge.replace(' ', ''))];
  return {
    'tokenizer.ggml.model': 'gpt2',
    'tokenizer.ggml.pre': pre,
    'tokenizer.ggml.tokens': [...tokens, '<s>', '<|im_end|>', '<tool>', '[PAD]'],
    'tokenizer.ggml.token_type': Int32Array.from([
      ...tokens.map(() => KINDS.normal),
      KINDS.control,
      KINDS.control,
      KINDS.userDefined,
      KINDS.unused,
    ]),
    'tokenizer.ggml.merges': merges,
    'tokenizer.ggml.bos_token_id': tokens.length,
    ...more,
  };
}

describe('byte-level tokenizers', () => {
  const WORDS = [
    '12345',
    "don't",
    'DON',
    "'T",
    "'t",
    ' \n\n',
    '\n\n',
    '!!\n',
    'fooBar',
    'e\u0301a',
    '   x',
    '!!/',
    'x',
  ];
  /** Splits a text and shows the pieces, which are the tokens as far as a word was not split. */
  const pieces = (pre: string, text: string): string[] => {
    const tokenizer = tokenizerOf(byteLevel(pre, WORDS, { 'tokenizer.ggml.add_bos_token': false }));
    return Array.from(tokenizer.encode(text), (id) => tokenizer.decode([id]));
  };

  it.each([
    ['gpt-2', ['12345']],
    ['llama-bpe', ['123', '4', '5']],
    ['dbrx', ['123', '4', '5']],
    ['gpt-4o', ['123', '4', '5']],
    ['deepseek-v3', ['123', '4', '5']],
    ['qwen2', ['1', '2', '3', '4', '5']],
    ['qwen35', ['1', '2', '3', '4', '5']],
    ['smollm', ['1', '2', '3', '4', '5']],
    ['refact', ['1', '2', '3', '4', '5']],
    ['tekken', ['1', '2', '3', '4', '5']],
    ['deepseek-coder', ['1', '2', '3', '4', '5']],
  ])('%s groups digits', (pre, expected) => {
    expect(pieces(pre, '12345')).toEqual(expected);
  });

  it.each([
    ['gpt-2', ['DON', "'", 'T']],
    ['llama-bpe', ['DON', "'T"]],
    ['qwen2', ['DON', "'T"]],
    // The ending belongs to the word.
    ['gpt-4o', ['DON', "'T"]],
    ['tekken', ['DON', "'T"]],
  ])('%s splits contractions in capitals', (pre, expected) => {
    expect(pieces(pre, "DON'T")).toEqual(expected);
  });

  it('words in mixed case are split by some', () => {
    expect(pieces('llama-bpe', 'fooBar')).toEqual(['fooBar']);
    expect(pieces('gpt-4o', 'fooBar')).toEqual(['foo', 'B', 'a', 'r']);
    expect(pieces('tekken', 'fooBar')).toEqual(['foo', 'B', 'a', 'r']);
  });

  it('marks belong to letters in some, and others compose them', () => {
    expect(pieces('qwen35', 'e\u0301a').join('')).toBe('e\u0301a');
    expect(pieces('qwen35', 'e\u0301a')).toEqual(['e\u0301a']);
    const composed = tokenizerOf(byteLevel('qwen2', []));
    expect(composed.decode(composed.encode('e\u0301a'))).toBe('éa');
    const kept = tokenizerOf(byteLevel('deepseek-r1-qwen', []));
    expect(kept.decode(kept.encode('e\u0301a'))).toBe('e\u0301a');
  });

  it('a whole word that is a token is not built from merges in some', () => {
    // The merges give "ab" and "c", although "abc" is a token.
    const change = { 'tokenizer.ggml.merges': ['a b'] };
    const lists = (pre: string) =>
      tokenizerOf({ ...byteLevel(pre, ['abc']), ...change }).encode('abc', { addSpecialTokens: false });
    expect(lists('llama-bpe')).toHaveLength(1);
    expect(lists('qwen2')).toHaveLength(2);
  });

  it('tokens may begin with a space in merges', () => {
    const entries = byteLevel('gpt-2', []);
    const merges = { 'tokenizer.ggml.merges': ['a b', 'nospace'] };
    expect(() => filesOf({ ...entries, ...merges })).toThrow(
      foretokenError('INVALID_CONFIG', 'merges', '"nospace"'),
    );
  });

  it('begin a text with a token if the file says so, or if that is usual', () => {
    const bos = (pre: string, more: Entries = {}) =>
      tokenizerOf(byteLevel(pre, [], more)).encode('x').length - 1;
    expect(bos('llama-bpe')).toBe(1);
    expect(bos('llama-bpe', { 'tokenizer.ggml.add_bos_token': false })).toBe(0);
    expect(bos('qwen2')).toBe(0);
    expect(bos('qwen2', { 'tokenizer.ggml.add_bos_token': true })).toBe(1);
    const both = { 'tokenizer.ggml.add_eos_token': true, 'tokenizer.ggml.eos_token_id': 257 };
    expect(bos('llama-bpe', both)).toBe(2);
  });

  it('find special tokens in a text, and leave unused ones alone', () => {
    const tokenizer = tokenizerOf(byteLevel('gpt-2', []));
    expect([...tokenizer.encode('<|im_end|><tool>')]).toEqual([257, 258]);
    expect([...tokenizer.encode('[PAD]')]).toEqual([...Buffer.from('[PAD]')]);
    expect(tokenizer.decode([257, 258])).toBe('<tool>');
  });
});

describe('SentencePiece', () => {
  const bytes = Array.from(
    { length: 256 },
    (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
  );
  const pieces = ['▁', 'a', 'b', '▁a', 'ab', '▁ab', '\n\n'];
  const entries: Entries = {
    'tokenizer.ggml.model': 'llama',
    'tokenizer.ggml.tokens': ['<unk>', '<s>', '</s>', ...bytes, ...pieces],
    'tokenizer.ggml.scores': Float32Array.from([
      0,
      0,
      0,
      ...bytes.map(() => 0),
      -5,
      -6,
      -7,
      -2,
      -1,
      -3,
      -1000,
    ]),
    'tokenizer.ggml.token_type': Int32Array.from([
      KINDS.unknown,
      KINDS.control,
      KINDS.control,
      ...bytes.map(() => KINDS.byte),
      ...pieces.map((_, i) => (i < 6 ? KINDS.normal : KINDS.userDefined)),
    ]),
  };
  const id = (piece: string) => 259 + pieces.indexOf(piece);

  it('merges by score, not by the order of tokens, after a space in front', () => {
    const tokenizer = tokenizerOf(entries);
    // "ab" has a higher score than "▁a".
    expect([...tokenizer.encode('ab a')]).toEqual([1, id('▁ab'), id('▁a')]);
    const without = tokenizerOf({
      ...entries,
      'tokenizer.ggml.tokens': ['<unk>', '<s>', '</s>', ...bytes, '▁', 'a', 'b', '▁a', 'ab', 'x', '\n\n'],
    });
    expect([...without.encode('ab')]).toEqual([1, id('▁'), id('ab')]);
    expect(tokenizer.decode(tokenizer.encode('ab a'))).toBe('ab a');
  });

  it('merges by the order of tokens if all scores are the same, as of a model without tokenizer.model', () => {
    const tokens = ['<unk>', '<s>', '</s>', ...bytes, '▁', 'a', 'b', 'c', 'd', 'ab', 'cd', 'abc'];
    const tokenizer = tokenizerOf({
      ...entries,
      'tokenizer.ggml.tokens': tokens,
      'tokenizer.ggml.scores': new Float32Array(tokens.length).fill(-1000),
      'tokenizer.ggml.token_type': Int32Array.from(tokens, (_, id) => (id < 259 ? KINDS.byte : KINDS.normal)),
      'tokenizer.ggml.add_space_prefix': false,
    });
    const split = Array.from(tokenizer.encode('abcd', { addSpecialTokens: false }), (token) => tokens[token]);
    expect(split).toEqual(['ab', 'cd']);
  });

  it('writes other characters as bytes, and finds tokens of users', () => {
    const tokenizer = tokenizerOf(entries);
    expect([...tokenizer.encode('é')]).toEqual([1, id('▁'), 3 + 0xc3, 3 + 0xa9]);
    expect([...tokenizer.encode('a\n\na')]).toEqual([1, id('▁a'), id('\n\n'), id('▁a')]);
  });

  it('may go without the space', () => {
    const tokenizer = tokenizerOf({ ...entries, 'tokenizer.ggml.add_space_prefix': false });
    expect([...tokenizer.encode('ab a')]).toEqual([1, id('ab'), id('▁a')]);
    expect(tokenizer.decode([id('▁a')])).toBe(' a');
  });

  it('of Phi-3 drops white space behind special tokens, except three of them', () => {
    const encode = (architecture: string, text: string) => {
      const tokens = ['<unk>', '<s>', '</s>', ...bytes, ...pieces.slice(0, 6), '<|user|>', '<|endoftext|>'];
      const tokenizer = tokenizerOf({
        ...entries,
        'general.architecture': architecture,
        'tokenizer.ggml.tokens': tokens,
        'tokenizer.ggml.scores': new Float32Array(tokens.length),
        'tokenizer.ggml.token_type': Int32Array.from(tokens, (token, index) =>
          token.startsWith('<|') || index === 1 || index === 2 ? KINDS.control : KINDS.normal,
        ),
      });
      return Array.from(tokenizer.encode(text, { addSpecialTokens: false }), (token) => tokens[token]);
    };
    expect(encode('phi3', '<|user|>\n ab</s> a')).toEqual(['<|user|>', '▁ab', '</s>', '▁a']);
    expect(encode('llama', '<|user|> ab')).toEqual(['<|user|>', '▁', '▁ab']);
    expect(encode('phi3', '<s> ab<|endoftext|> a')).toEqual(['<s>', '▁', '▁ab', '<|endoftext|>', '▁', '▁a']);
  });

  it('has special tokens that the file need not name', () => {
    expect(tokenizerOf(entries)).toMatchObject({ bosId: 1, eosId: 2 });
    const named = { 'tokenizer.ggml.bos_token_id': 2, 'tokenizer.ggml.eos_token_id': 1 };
    expect(tokenizerOf({ ...entries, ...named })).toMatchObject({ bosId: 2, eosId: 1 });
  });
});

describe('a whole tokenizer.json in the file', () => {
  it('is taken as it is', () => {
    const whole = JSON.stringify(byteTokenizerJson(['<s>']));
    const files = filesOf({ ...byteLevel('gpt-2', ['ab']), 'tokenizer.huggingface.json': whole });
    expect(files['tokenizer.json']).toBe(whole);
  });
});

describe('chat templates', () => {
  const entries = byteLevel('gpt-2', []);
  it('are one text, or several with names', () => {
    expect(configOf(entries)).not.toHaveProperty('chat_template');
    expect(configOf({ ...entries, 'tokenizer.chat_template': 'A' }).chat_template).toBe('A');
    const named: Entries = {
      'tokenizer.chat_template': 'A',
      'tokenizer.chat_templates': ['tools'],
      'tokenizer.chat_template.tools': 'B',
    };
    expect(configOf({ ...entries, ...named }).chat_template).toEqual([
      { name: 'default', template: 'A' },
      { name: 'tools', template: 'B' },
    ]);
  });
});

describe('tokens that end a text', () => {
  const endsOf = (more: Entries) => {
    const metadata = new Metadata('a.gguf', new Map(Object.entries({ ...byteLevel('gpt-2', []), ...more })));
    return endTokens(new Vocabulary(metadata));
  };
  it('are those that the file names, and others of known texts', () => {
    expect(endsOf({})).toEqual([257]);
    expect(endsOf({ 'tokenizer.ggml.eos_token_id': 256 })).toEqual([256, 257]);
    const named = {
      'tokenizer.ggml.eos_token_id': 257,
      'tokenizer.ggml.eot_token_id': 258,
      'tokenizer.ggml.eom_token_id': 256,
    };
    expect(endsOf(named)).toEqual([257, 258, 256]);
  });
});

describe('refused', () => {
  const base = byteLevel('gpt-2', []);
  const without = (key: string) => Object.fromEntries(Object.entries(base).filter(([name]) => name !== key));
  it.each([
    [
      'an unknown way to split',
      { ...base, 'tokenizer.ggml.pre': 'mpt' },
      ['tokenizer.ggml.pre', '"mpt"', 'llama-bpe'],
    ],
    ['none', without('tokenizer.ggml.pre'), ['tokenizer.ggml.pre', 'missing']],
    [
      'capitals that are lost',
      { ...base, 'tokenizer.ggml.normalizer.lowercase': true },
      ['lowercase', 'true'],
    ],
    ['another kind', { ...base, 'tokenizer.ggml.model': 'bert' }, ['tokenizer.ggml.model', '"bert"']],
    ['no tokens', without('tokenizer.ggml.tokens'), ['tokenizer.ggml.tokens', 'missing']],
    ['no merges', without('tokenizer.ggml.merges'), ['tokenizer.ggml.merges', 'missing']],
    [
      'fewer kinds than tokens',
      { ...base, 'tokenizer.ggml.token_type': Int32Array.of(1) },
      ['token_type', '1 elements'],
    ],
    [
      'an id without a token',
      { ...base, 'tokenizer.ggml.bos_token_id': 999 },
      ['bos_token_id', '999', '260 tokens'],
    ],
    [
      'a token that occurs twice',
      { ...base, 'tokenizer.ggml.tokens': [...LETTERS.map(([letter]) => letter), 'x', '<b>', '<c>', ''] },
      ['"x" twice'],
    ],
    [
      'a beginning that the file does not name',
      { ...without('tokenizer.ggml.bos_token_id'), 'tokenizer.ggml.add_bos_token': true },
      ['add_bos_token', 'names no such token'],
    ],
  ] as [string, Entries, string[]][])('%s', (_, entries, parts) => {
    expect(() => filesOf(entries)).toThrow(foretokenError('INVALID_CONFIG', 'a.gguf', ...parts));
  });
});
