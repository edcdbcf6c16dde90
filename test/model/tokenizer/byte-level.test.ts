import fc from 'fast-check';
import { byteTokenizerFiles, byteTokenizerJson, createTokenizer } from '../../../lib/model/tokenizer';
import { ByteTokenizer, byteLevelSpecials } from '../../../lib/model/tokenizer/byte-level';
import { GeneralTokenizer } from '../../../lib/model/tokenizer/general';
import { readPipeline } from '../../../lib/model/tokenizer/pipeline';
import { byteLevelPairs } from './examples';

const tokenizer = createTokenizer(byteTokenizerFiles());

/** Strings of any code units, lone surrogates, special tokens and parts of special tokens. */
const anyText = (specials: string[]) =>
  fc
    .array(
      fc.oneof(
        fc.string({ unit: 'binary' }),
        fc.string({ unit: 'grapheme' }),
        fc.constantFrom(...specials, '<|', '\ud83d', '\ufeff', '\0', '\r\n', ' '),
      ),
    )
    .map((parts) => parts.join(''));

describe('the byte-level tokenizer', () => {
  it('encodes bytes of UTF-8 as ids, and special tokens as ids from 256', () => {
    expect([...tokenizer.encode('Aé\n')]).toEqual([0x41, 0xc3, 0xa9, 0x0a]);
    expect([...tokenizer.encode('a<|endoftext|>')]).toEqual([0x61, 256]);
    expect(tokenizer).toMatchObject({ vocabSize: 257, bosId: 256, eosId: 256 });
  });

  it('returns any text unchanged', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
      }),
    );
  });

  it('returns a byte order mark, like any other text', () => {
    expect(tokenizer.decode(tokenizer.encode('\ufeffa\ufeff'))).toBe('\ufeffa\ufeff');
  });

  it('returns the bytes of any valid UTF-8', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const bytes = Buffer.from(text);
        expect(Buffer.from(tokenizer.decode(bytes)).equals(bytes)).toBe(true);
      }),
    );
  });
});

describe('the fast path for bytes', () => {
  const specials = ['<|endoftext|>', '<|end|>', '<|end', '$.*'];
  const json = byteTokenizerJson(specials);
  const fast = new ByteTokenizer({}, byteLevelSpecials(json)!, undefined, undefined);
  const general = new GeneralTokenizer(readPipeline(json), {}, undefined, undefined);

  it('has the vocabulary of the general tokenizer', () => {
    expect(fast.vocabSize).toBe(260);
    expect(general.vocabSize).toBe(260);
  });

  it('encodes as the general tokenizer does', () => {
    fc.assert(
      fc.property(anyText(specials), (text) => {
        expect([...fast.encode(text)]).toEqual([...general.encode(text)]);
      }),
      { numRuns: 500 },
    );
  });

  it('decodes as the general tokenizer does, at once and in pieces', () => {
    const part = fc.oneof(
      fc.array(fc.nat(262)),
      fc.string({ unit: 'binary' }).map((text) => [...Buffer.from(text)]),
    );
    fc.assert(
      fc.property(fc.array(part), fc.boolean(), (parts, skipSpecialTokens) => {
        const expected = general.decode(parts.flat(), { skipSpecialTokens });
        expect(fast.decode(parts.flat(), { skipSpecialTokens })).toBe(expected);
        const stream = fast.streamDecoder({ skipSpecialTokens });
        expect(parts.map((ids) => stream.push(ids)).join('') + stream.flush()).toBe(expected);
      }),
      { numRuns: 1000 },
    );
  });

  it('never returns a part of a character', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        const stream = fast.streamDecoder();
        for (const id of fast.encode(text)) {
          const piece = stream.push([id]);
          expect(piece).not.toMatch(/\p{Surrogate}/u);
          expect(piece.includes('\ufffd') && !text.includes('\ufffd')).toBe(false);
        }
        expect(stream.flush()).toBe('');
      }),
    );
  });

  it('is used for every such tokenizer.json, whatever the order of its keys', () => {
    const files = (value: object) => ({ 'tokenizer.json': JSON.stringify(value) });
    const reversed = Object.fromEntries(Object.entries(json).toReversed());
    expect(createTokenizer(files(reversed))).toBeInstanceOf(ByteTokenizer);
    expect(createTokenizer(files(byteTokenizerJson([])))).toBeInstanceOf(ByteTokenizer);
  });

  it('is not used if anything differs', () => {
    const model = json.model as { vocab: Record<string, number> };
    const [first, ...others] = json.added_tokens as Record<string, unknown>[];
    const variants: object[] = [
      byteLevelPairs(),
      { ...json, normalizer: { type: 'NFC' } },
      { ...json, pre_tokenizer: { ...(json.pre_tokenizer as object), add_prefix_space: true } },
      { ...json, added_tokens: [{ ...first, lstrip: true }, ...others] },
      { ...json, added_tokens: [{ ...first, special: false }, ...others] },
      { ...json, added_tokens: others },
      { ...json, model: { ...model, vocab: { ...model.vocab, a: 98, b: 97 } } },
    ];
    for (const variant of variants) {
      expect(byteLevelSpecials(variant as Record<string, unknown>)).toBeUndefined();
      expect(createTokenizer({ 'tokenizer.json': JSON.stringify(variant) })).toBeInstanceOf(GeneralTokenizer);
    }
  });
});
