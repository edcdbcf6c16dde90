// Many texts side by side: each is the text alone, a failure ends one text only, and a slow consumer delays no other text.
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { GeneratedText, GenerateRequest } from '../../lib/decode/generate-many';
import { LanguageModel } from '../../lib/decode/language-model';
import type { GeneratedPiece } from '../../lib/decode/output-limiter';
import { native } from '../../lib/native/load';
import { openDevice, type Device } from '../../lib/tensor/device';
import { randomModel, tokensOf } from '../support/exact';
import { tokenizer } from '../support/training';

let device: Device;
let language: LanguageModel;
beforeEach(() => {
  device = openDevice('cpu', { threads: 1, poison: true });
  const description = { kind: 'rooted', numHeads: 3, seed: 5, tied: true, modelType: 'llama' } as const;
  language = new LanguageModel(randomModel(device, description), tokenizer);
});
afterEach(() => {
  language.dispose();
  device.dispose();
});

const options = { maxTokens: 12, ignoreEos: true, temperature: 1, seed: 3 } as const;

async function all(texts: AsyncIterable<GeneratedText>): Promise<GeneratedText[]> {
  const list: GeneratedText[] = [];
  for await (const text of texts) list.push(text);
  return list.toSorted((a, b) => a.index - b.index);
}

const alone = async (prompt: string, more = {}): Promise<number[]> =>
  tokensOf(language.model, [...tokenizer.encode(prompt)], { ...options, ...more, speculation: 'none' });

describe('generateMany', () => {
  it('yields every text as it would be alone, more of them than one forward pass carries', async () => {
    const prompts = Array.from({ length: 70 }, (_, i) => `${'ab'.repeat(i % 7)}${i}`);
    const texts = await all(language.generateMany(prompts, { ...options, maxTokens: 4 }));
    expect(texts.map(({ index }) => index)).toEqual(prompts.map((_, i) => i));
    for (const { index, tokens, text, stats, error } of texts) {
      expect(error).toBeNull();
      expect(tokens).toEqual(await alone(prompts[index]!, { maxTokens: 4 }));
      expect(text).toBe(tokenizer.decode(tokens));
      expect(stats).toMatchObject({ tokens: 4, finishReason: 'length' });
    }
  });

  it('gives a request its own options, and the others those for all', async () => {
    const requests: GenerateRequest[] = [
      'abc',
      { prompt: 'abc', seed: 4 },
      [97, 98, 99],
      { prompt: [97, 98, 99], maxTokens: 2 },
    ];
    const texts = await all(language.generateMany(requests, options));
    expect(texts.map(({ tokens }) => tokens)).toEqual([
      await alone('abc'),
      await alone('abc', { seed: 4 }),
      await alone('abc'),
      await alone('abc', { maxTokens: 2 }),
    ]);
  });

  it('ends a text that fails alone', async () => {
    const abort = new AbortController();
    abort.abort(new Error('not wanted'));
    const requests: GenerateRequest[] = [
      'abc',
      { prompt: 'abc', temperature: -1 },
      { prompt: 'abc', signal: abort.signal },
      { prompt: 'abc', logitBias: new Map(Array.from({ length: 257 }, (_, token) => [token, -Infinity])) },
      { prompt: 'abcd', seed: 9 },
    ];
    const texts = await all(language.generateMany(requests, options));
    expect(texts.map(({ error }) => (error as Error | null)?.message)).toEqual([
      undefined,
      expect.stringContaining('temperature'),
      'not wanted',
      expect.stringContaining('no token can be drawn for position 3'),
      undefined,
    ]);
    expect(texts[0]!.tokens).toEqual(await alone('abc'));
    expect(texts[4]!.tokens).toEqual(await alone('abcd', { seed: 9 }));
  });

  it('takes requests as places become free, and stops with its consumer', async () => {
    let taken = 0;
    function* requests(): Generator<string> {
      for (;;) yield `${taken++}`;
    }
    const live = native.liveTensors();
    for await (const { index } of language.generateMany(requests(), { ...options, maxTokens: 1 })) {
      expect(taken - index).toBeLessThanOrEqual(130);
      if (index > 80) break;
    }
    expect(taken).toBeLessThan(250);
    language.dispose();
    expect(native.liveTensors()).toBeLessThanOrEqual(live);
  });

  it.each([5, null, 'abc', { prompt: 'abc' }])('refuses %j', (requests) => {
    expect(() => language.generateMany(requests as never)).toThrow(
      'generateMany: requests must be an array of requests, or another iterable or async iterable',
    );
  });
});

describe('texts that are iterated side by side', () => {
  it('go on while a consumer pauses', async () => {
    const slow = language.generate('slow', options)[Symbol.asyncIterator]();
    await slow.next();
    expect(await tokensOf(language.model, [1, 2], options)).toEqual(
      (await all(language.generateMany([[1, 2]], options)))[0]!.tokens,
    );
    await slow.return!();
  });

  it('wait for a place when all are taken, and can be aborted while they wait', async () => {
    const taken = await Promise.all(
      Array.from({ length: 64 }, async (_, i) => {
        const pieces = language.generate(`${i}`, options)[Symbol.asyncIterator]();
        await pieces.next();
        return pieces;
      }),
    );
    const abort = new AbortController();
    const aborted = language.generate('a', { ...options, signal: abort.signal });
    const waiting = aborted[Symbol.asyncIterator]().next();
    const next = language.generate('b', options)[Symbol.asyncIterator]();
    const first = next.next();
    await setImmediate();
    abort.abort(new Error('tired of waiting'));
    await expect(waiting).rejects.toThrow('tired of waiting');
    await taken[7]!.return!();
    const { tokens } = ((await first) as IteratorYieldResult<GeneratedPiece>).value;
    expect(tokens).toEqual((await alone('b')).slice(0, tokens.length));
    for (const pieces of [...taken, next]) await pieces.return!();
  });

  it('free their place when their iterator is dropped', async () => {
    setFlagsFromString('--expose-gc');
    const collectGarbage = runInNewContext('gc') as () => void;
    const begin = async (): Promise<void> => {
      await language.generate('dropped', options)[Symbol.asyncIterator]().next();
    };
    // All places are taken many times over.
    for (let i = 0; i < 200; i++) {
      await begin();
      if (i % 20 === 19) {
        collectGarbage();
        await setImmediate();
      }
    }
    expect((await all(language.generateMany(['abc'], options)))[0]!.tokens).toEqual(await alone('abc'));
  });
});
