import fc from 'fast-check';
import {
  byteTokenizerFiles,
  createTokenizer,
  loadTokenizer,
  saveTokenizer,
  type Tokenizer,
} from '../../../lib/model/tokenizer';
import { foretokenError } from '../../support/errors';
import { TemporaryDirectory } from '../../support/temporary';
import { byteFallback, byteLevelPairs } from './examples';

const directory = new TemporaryDirectory();

const make = (json: unknown, config?: unknown): Tokenizer =>
  createTokenizer({
    'tokenizer.json': JSON.stringify(json),
    ...(config === undefined ? {} : { 'tokenizer_config.json': JSON.stringify(config) }),
  });

describe('a tokenizer', () => {
  const pairs = make(byteLevelPairs());
  const fallback = make(byteFallback());

  it('encodes with the ids of its vocabulary', () => {
    expect([...pairs.encode('hello wé')]).toEqual([259, 111, 260, 261]);
    expect([...pairs.encode('a<|endoftext|>b')]).toEqual([97, 256, 98]);
    expect(pairs.vocabSize).toBe(265);
  });

  it('adds special tokens around the text unless told not to', () => {
    expect([...fallback.encode('ab b')]).toEqual([1, 264, 259, 261]);
    expect([...fallback.encode('ab b', { addSpecialTokens: false })]).toEqual([264, 259, 261]);
  });

  it('encodes an empty text and decodes no ids', () => {
    expect([...pairs.encode('')]).toEqual([]);
    expect([...fallback.encode('')]).toEqual([1]);
    expect(pairs.decode([])).toBe('');
  });

  it('returns any text unchanged', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(pairs.decode(pairs.encode(text))).toBe(text);
      }),
    );
    for (const text of ['ab a  b', ' leading', 'é😀\ufffd', 'a\ufeffb', '\ufeff', "a .  b , it 's"]) {
      expect(pairs.decode(pairs.encode(text))).toBe(text);
      expect(fallback.decode(fallback.encode(text))).toBe(text);
    }
  });

  it('leaves special tokens out of the text unless told not to', () => {
    const ids = pairs.encode('a<|endoftext|>b');
    expect(pairs.decode(ids)).toBe('ab');
    expect(pairs.decode(ids, { skipSpecialTokens: false })).toBe('a<|endoftext|>b');
  });

  it('decodes ids without a token to nothing, and refuses other values', () => {
    expect(pairs.decode([97, 100_000, 98])).toBe('ab');
    for (const id of [-1, 0.5, NaN]) {
      expect(() => pairs.decode([97, id])).toThrow(
        foretokenError('INVALID_ARGUMENT', 'decode: token id must be an integer', String(id)),
      );
    }
  });

  it('refuses a template whose token has no id', () => {
    const single = [{ SpecialToken: { id: '<bos>', type_id: 0 } }];
    const processor = { type: 'TemplateProcessing', single, special_tokens: {} };
    expect(() => make({ ...byteFallback(), post_processor: processor })).toThrow(
      foretokenError('INVALID_CONFIG', '"post_processor.special_tokens.<bos>" is missing'),
    );
  });
});

describe('special tokens', () => {
  const config = { bos_token: '<s>', eos_token: '</s>' };

  it.each<[string, object, object, number[]]>([
    ['a template', {}, {}, [1, 260]],
    ['a template that the config switches off', {}, { add_bos_token: false }, [260]],
    ['the config alone', { post_processor: null }, { add_bos_token: true }, [1, 260]],
    [
      'the config alone, at the end, too',
      { post_processor: null },
      { add_bos_token: true, add_eos_token: true },
      [1, 260, 2],
    ],
    ['both', {}, { add_bos_token: true, add_eos_token: true }, [1, 260, 2]],
    ['neither', { post_processor: null }, {}, [260]],
  ])('are added once by %s', (_, parts, flags, expected) => {
    const json = { ...byteFallback(), normalizer: null, ...parts };
    const tokenizer = make(json, { ...config, ...flags });
    expect([...tokenizer.encode('a')]).toEqual(expected);
    expect([...tokenizer.encode('a', { addSpecialTokens: false })]).toEqual([260]);
  });

  it('are those of the template by its own ids', () => {
    const single = [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }];
    const processor = { type: 'TemplateProcessing', single, special_tokens: { '<s>': { ids: [7, 8] } } };
    expect([...make({ ...byteFallback(), post_processor: processor }).encode('')]).toEqual([7, 8]);
  });

  it('in a text are text if they are to be split', () => {
    const bytes = createTokenizer(byteTokenizerFiles());
    for (const tokenizer of [make(byteLevelPairs()), bytes]) {
      const ids = tokenizer.encode('a<|endoftext|>', { splitSpecialTokens: true });
      expect(ids).not.toContain(256);
      expect(tokenizer.decode(ids)).toBe('a<|endoftext|>');
    }
  });

  it('and bytes of the same name stay apart', () => {
    const json = byteLevelPairs() as { added_tokens: object[] };
    // In GPT-2's alphabet č is the byte of a carriage return, and é one that is no character by itself.
    const added = ['č', 'café'].map((content, i) => ({ id: 270 + i, content, normalized: false }));
    const tokenizer = make({ ...json, added_tokens: [...json.added_tokens, ...added] });
    expect(tokenizer.decode(tokenizer.encode('\r'))).toBe('\r');
    expect([...tokenizer.encode('café')]).toEqual([271]);
    expect(tokenizer.decode([271])).toBe('café');
  });
});

it('refuses a text without tokens if there is no unknown token', () => {
  const tokenizer = make({ model: { type: 'Unigram', unk_id: null, vocab: [['a', -1]] } });
  expect(() => tokenizer.encode('a漢')).toThrow(
    foretokenError(
      'INVALID_CONFIG',
      'tokenizer.json: token "漢" has no id, and the tokenizer has no unknown token',
    ),
  );
});

it('strips the end of a text, too, which a stream holds back', () => {
  const decoders = [{ type: 'Fuse' }, { type: 'Strip', content: 'a', start: 1, stop: 2 }];
  const vocab = { a: 0, b: 1 };
  const tokenizer = make({ decoder: { type: 'Sequence', decoders }, model: { type: 'WordLevel', vocab } });
  expect(tokenizer.decode([0, 0, 1, 0, 0, 0])).toBe('aba');
  const stream = tokenizer.streamDecoder();
  expect([0, 0, 1, 0, 0, 0].map((id) => stream.push([id]))).toEqual(['', '', 'ab', '', '', 'a']);
});

describe('a stream decoder', () => {
  const tokenizers: [string, Tokenizer][] = [
    ['byte-level pairs', make(byteLevelPairs())],
    ['byte fallback', make(byteFallback())],
  ];

  it.each(tokenizers)('of %s returns in pieces the text of decode', (_, tokenizer) => {
    const decoder = tokenizer.streamDecoder();
    const id = fc.nat(tokenizer.vocabSize + 3);
    const anyIds = fc.array(fc.oneof(id, id, fc.constantFrom(0xf0, 0x9f, 0x98, 0x80, 32, 256, 257, 259)));
    fc.assert(
      fc.property(fc.array(anyIds), fc.boolean(), (parts, skipSpecialTokens) => {
        const ids = parts.flat();
        const stream = skipSpecialTokens ? decoder : tokenizer.streamDecoder({ skipSpecialTokens });
        const text = parts.map((part) => stream.push(part)).join('') + stream.flush();
        expect(text).toBe(tokenizer.decode(ids, { skipSpecialTokens }));
      }),
      { numRuns: 1000 },
    );
  });

  it.each(tokenizers)(
    'of %s returns only whole characters, each as soon as it is complete',
    (_, tokenizer) => {
      fc.assert(
        fc.property(fc.string({ unit: fc.constantFrom('a', 'é', '😀', '漢', ' ') }), (text) => {
          const stream = tokenizer.streamDecoder();
          let given = '';
          const ids = tokenizer.encode(text, { addSpecialTokens: false });
          ids.forEach((id, i) => {
            const piece = stream.push([id]);
            expect(piece).not.toMatch(/\p{Surrogate}/u);
            given += piece;
            const known = tokenizer.decode(ids.subarray(0, i + 1)).replace(/\ufffd+$/, '');
            expect(given).toBe(known);
          });
          expect(given + stream.flush()).toBe(text);
        }),
      );
    },
  );

  it.each(tokenizers)('of %s continues a text as decode of the whole does', (_, tokenizer) => {
    const anyIds = fc.array(fc.nat(tokenizer.vocabSize + 3));
    fc.assert(
      fc.property(anyIds, anyIds, (before, ids) => {
        const stream = tokenizer.streamDecoder({ after: before });
        const whole = tokenizer.decode([...before, ...ids]);
        const text = stream.push(ids) + stream.flush();
        expect(whole.endsWith(text)).toBe(true);
        // Only a character that is complete now may be missing in the text before.
        const start = whole.slice(0, whole.length - text.length);
        expect(tokenizer.decode(before).replace(/\ufffd+$/, '')).toBe(start.replace(/\ufffd+$/, ''));
      }),
    );
  });

  it('keeps a leading space in a continuation', () => {
    const tokenizer = make(byteFallback());
    const ids = tokenizer.encode('ab', { addSpecialTokens: false });
    expect(tokenizer.streamDecoder().push(ids)).toBe('ab');
    expect(tokenizer.streamDecoder({ after: [1] }).push(ids)).toBe('ab');
    expect(tokenizer.streamDecoder({ after: tokenizer.encode('b') }).push(ids)).toBe(' ab');
  });

  it.each(tokenizers)('of %s returns U+FFFD for an unfinished character', (_, tokenizer) => {
    const stream = tokenizer.streamDecoder();
    const ids = [...tokenizer.encode('😀', { addSpecialTokens: false })].slice(0, -1);
    expect(stream.push(ids)).toBe('');
    expect(stream.flush()).toMatch(/^\ufffd+$/);
    expect(stream.push(tokenizer.encode('ab'))).toBe('ab');
  });
});

describe('loading', () => {
  const files = (json: unknown, others: Record<string, unknown> = {}) => {
    for (const [name, content] of Object.entries({ 'tokenizer.json': json, ...others })) {
      directory.write(name, typeof content === 'string' ? content : JSON.stringify(content));
    }
    return directory.path;
  };

  it('takes the special tokens from tokenizer_config.json, then from special_tokens_map.json', async () => {
    const both = await loadTokenizer(
      files(byteFallback(), {
        'tokenizer_config.json': { bos_token: { content: '<s>' }, eos_token: null },
        'special_tokens_map.json': { bos_token: '<unk>', eos_token: '</s>' },
      }),
    );
    expect([both.bosId, both.eosId]).toEqual([1, 2]);
  });

  it('needs only tokenizer.json', async () => {
    const tokenizer = await loadTokenizer(files(byteFallback()));
    expect([tokenizer.bosId, tokenizer.eosId]).toEqual([undefined, undefined]);
  });

  it('returns the saved tokenizer', async () => {
    const tokenizer = make(byteFallback(), { eos_token: '</s>' });
    await saveTokenizer(directory.at('copy'), tokenizer);
    const copy = await loadTokenizer(directory.at('copy'));
    expect(copy.files).toEqual(tokenizer.files);
    expect(copy.eosId).toBe(2);
    expect([...copy.encode('ab')]).toEqual([1, 264]);
  });

  it('refuses files that are not UTF-8, or nested too deeply', async () => {
    const path = directory.write('tokenizer.json', Buffer.of(0x7b, 0xff));
    await expect(loadTokenizer(directory.path)).rejects.toEqual(
      foretokenError('INVALID_CONFIG', path, 'not UTF-8: byte 0xff at offset 1'),
    );
    directory.write('tokenizer.json', `{"model": ${'['.repeat(1e5)}${']'.repeat(1e5)}}`);
    await expect(loadTokenizer(directory.path)).rejects.toEqual(
      foretokenError('INVALID_CONFIG', path, 'nested more than 256 deep'),
    );
  });

  it('names a tokenizer.json that is missing', async () => {
    await expect(loadTokenizer(directory.path)).rejects.toEqual(
      foretokenError('FILE_ACCESS', directory.at('tokenizer.json'), 'no such file'),
    );
  });

  it.each<[string, unknown, Record<string, unknown>, string[]]>([
    ['is not JSON', '{', {}, ['tokenizer.json', 'not JSON']],
    ['is a list', '[]', {}, ['tokenizer.json', 'not a JSON object']],
    ['has no model', { version: '1.0' }, {}, ['tokenizer.json', '"model"']],
    [
      'has an unknown model',
      { ...byteFallback(), model: { type: 'Magic' } },
      {},
      ['tokenizer.json', 'Magic'],
    ],
    ['has a broken vocabulary', { ...byteFallback(), model: { type: 'BPE' } }, {}, ['tokenizer.json']],
    [
      'has an added token without an id',
      { ...byteFallback(), added_tokens: [{ content: 'new' }] },
      {},
      ['tokenizer.json', '"added_tokens[0].id" is missing'],
    ],
    [
      'merges tokens that it lacks',
      { ...byteFallback(), model: { type: 'BPE', vocab: { a: 0 }, merges: ['a b'] } },
      {},
      ['tokenizer.json', 'model: merges[0] has "b"'],
    ],
    [
      'has an unknown pre-tokenizer',
      { ...byteFallback(), pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'Magic' }] } },
      {},
      [
        'tokenizer.json',
        'pre_tokenizer.pretokenizers[0]: type "Magic" is not known; it may be Sequence, ByteLevel',
      ],
    ],
    [
      'has an unknown decoder',
      { ...byteFallback(), decoder: { type: 'CTC' } },
      {},
      ['tokenizer.json', 'decoder: type "CTC" is not known; it may be Sequence, ByteLevel, ByteFallback'],
    ],
    [
      'has a pattern that cannot be compiled',
      { ...byteFallback(), normalizer: { type: 'Replace', pattern: { Regex: '(' }, content: '' } },
      {},
      ['tokenizer.json', 'normalizer.pattern: Invalid regular expression'],
    ],
    [
      'has a damaged table of SentencePiece',
      { ...byteFallback(), normalizer: { type: 'Precompiled', precompiled_charsmap: 'AAAA' } },
      {},
      ['tokenizer.json', 'normalizer: precompiled_charsmap is damaged'],
    ],
    [
      'has a broken config beside it',
      byteFallback(),
      { 'tokenizer_config.json': 'no' },
      ['tokenizer_config.json'],
    ],
    [
      'lacks the token that ends a text',
      byteFallback(),
      { 'tokenizer_config.json': { eos_token: '<end>' } },
      ['tokenizer_config.json', 'eos_token "<end>"'],
    ],
  ])('refuses a tokenizer.json that %s', async (_, json, others, parts) => {
    await expect(loadTokenizer(files(json, others))).rejects.toEqual(
      foretokenError('INVALID_CONFIG', ...parts),
    );
  });
});
