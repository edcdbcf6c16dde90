import fc from 'fast-check';
import { createTokenizer, type Tokenizer } from '../../../lib/model/tokenizer';
import { byteToken } from '../../../lib/model/tokenizer/models/model';
import { byteFallback, byteLevelPairs } from './examples';

const make = (model: object, more: object = {}): Tokenizer =>
  createTokenizer({ 'tokenizer.json': JSON.stringify({ ...more, model }) });

const letters = ['a', 'b', 'c', '▁'];

/** A random vocabulary of merges over a few letters: each merges two of the tokens before it. */
const anyMerges = fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 12 }).map((choices) => {
  const tokens = [...letters];
  const merges: [string, string][] = [];
  for (const [a, b] of choices) {
    const pair: [string, string] = [tokens[a % tokens.length]!, tokens[b % tokens.length]!];
    if (tokens.includes(pair.join(''))) continue;
    merges.push(pair);
    tokens.push(pair.join(''));
  }
  return { tokens, merges };
});

/** Byte-pair encoding as its definition says: the first merge that applies anywhere, at the first place. */
function mergeOneByOne(text: string, merges: readonly [string, string][]): string[] {
  const tokens = Array.from(text);
  for (;;) {
    const found = merges
      .map(([left, right]) => tokens.findIndex((token, i) => token === left && tokens[i + 1] === right))
      .find((at) => at >= 0);
    if (found === undefined) return tokens;
    tokens.splice(found, 2, tokens[found]! + tokens[found + 1]!);
  }
}

/** The highest sum of scores of all ways to split a text. */
function bestScore(text: string, scores: ReadonlyMap<string, number>): number {
  const best = [0];
  for (let end = 1; end <= text.length; end += 1) {
    const ways = best.map((score, start) => score + (scores.get(text.slice(start, end)) ?? -Infinity));
    best.push(Math.max(...ways));
  }
  return best.at(-1)!;
}

describe('a long text', () => {
  const anyText = fc.string({ unit: fc.constantFrom(...letters, '漢', '▁'), minLength: 17, maxLength: 80 });

  it('has the tokens of byte-pair encoding, though it is split where no merge crosses', () => {
    fc.assert(
      fc.property(anyMerges, anyText, ({ tokens, merges }, text) => {
        const vocab = Object.fromEntries(['<unk>', ...tokens].map((token, id) => [token, id]));
        const tokenizer = make({ type: 'BPE', vocab, merges, unk_token: '<unk>' });
        const expected = mergeOneByOne(text, merges).map((token) => vocab[token] ?? 0);
        expect([...tokenizer.encode(text)]).toEqual(expected);
      }),
      { numRuns: 300 },
    );
  });

  it('has the likeliest tokens of a unigram model, though it is split where no token crosses', () => {
    const score = fc.double({ min: -9, max: -0.1, noNaN: true });
    const anyVocabulary = fc
      .dictionary(fc.string({ unit: fc.constantFrom(...letters), minLength: 2, maxLength: 4 }), score)
      .map((words) => Object.entries({ a: -5.1, b: -5.2, c: -5.3, '▁': -5.4, 漢: -6, ...words }));
    fc.assert(
      fc.property(anyVocabulary, anyText, (vocab, text) => {
        const tokenizer = make({ type: 'Unigram', vocab, unk_id: null });
        const scores = new Map(vocab);
        const long = text.repeat(8);
        const ids = [...tokenizer.encode(long)];
        expect(ids.map((id) => vocab[id]![0]).join('')).toBe(long);
        const sum = ids.reduce((total, id) => total + vocab[id]![1], 0);
        expect(sum).toBeCloseTo(bestScore(long, scores), 6);
      }),
      { numRuns: 100 },
    );
  });

  // A quadratic algorithm takes minutes.
  const length = 300_000;
  const fallback = createTokenizer({ 'tokenizer.json': JSON.stringify(byteFallback()) });
  const unigram = make({
    type: 'Unigram',
    unk_id: 0,
    vocab: [
      ['<unk>', 0],
      ['a', -1],
      ['aa', -1.5],
      ['b', -2],
    ],
  });
  const bytes = Array.from({ length: 256 }, (_, byte) => [byteToken(byte), -9]);
  const bytesOrA = make({ type: 'Unigram', unk_id: null, byte_fallback: true, vocab: [['a', -1], ...bytes] });
  it.each<[string, Tokenizer, string]>([
    ['words with byte fallback', fallback, 'ab b a '.repeat(length / 7)],
    ['one word with byte fallback', fallback, 'ab'.repeat(length / 2)],
    ['characters without tokens', fallback, '漢'.repeat(length / 3)],
    ['one word with a unigram model', unigram, 'aab'.repeat(length / 3)],
    ['unknown characters with a unigram model', unigram, '漢'.repeat(length)],
    ['unknown characters as bytes of a unigram model', bytesOrA, '漢'.repeat(length)],
  ])('of %s is encoded in small pieces', (_, tokenizer, text) => {
    const lengths: number[] = [];
    let pieces = 0;
    for (const piece of tokenizer.encodeInPieces!(text)) {
      pieces += 1;
      lengths.push(piece.length);
    }
    expect(pieces).toBeGreaterThan(10);
    expect(lengths.reduce((sum, piece) => sum + piece)).toBe(tokenizer.encode(text).length);
  });

  it('is encoded alternately with another one', () => {
    const json = byteLevelPairs();
    const preTokenizer = { ...(json.pre_tokenizer as object), use_regex: true };
    const tokenizer = createTokenizer({
      'tokenizer.json': JSON.stringify({ ...json, pre_tokenizer: preTokenizer }),
    });
    const texts = ['hello w é 12 '.repeat(2000), 'w  ll. '.repeat(3000)];
    const found: number[][] = texts.map(() => []);
    const running = texts.map((text) => tokenizer.encodeInPieces!(text)[Symbol.iterator]());
    for (let isGoing = true; isGoing;) {
      isGoing = false;
      for (const [i, pieces] of running.entries()) {
        const { value, done } = pieces.next();
        if (done) continue;
        found[i]!.push(...value);
        isGoing = true;
      }
    }
    expect(found).toEqual(texts.map((text) => [...tokenizer.encode(text)]));
    expect(found.map((ids) => tokenizer.decode(ids))).toEqual(texts);
  });

  it('of bytes that never become a character is decoded piece by piece', () => {
    const stream = fallback.streamDecoder();
    const id = 3 + 0xe4;
    for (let i = 0; i < length; i += 1) stream.push([id]);
    expect(stream.push([259])).toBe('\ufffd ');
  });
});
