// A language model keeps captures from one text for the next, but nothing of the text and no outdated capture.
import { generate, type Generation } from '../../lib/decode/generate';
import type { GeneratedPiece } from '../../lib/decode/output-limiter';
import { LanguageModel } from '../../lib/decode/language-model';
import type { GenerateOptions } from '../../lib/decode/options';
import { native } from '../../lib/native/load';
import { openDevice, type Device } from '../../lib/tensor/device';
import { headKinds, randomModel } from '../support/exact';
import { tokenizer } from '../support/training';

let device: Device;
beforeEach(() => (device = openDevice('cpu', { threads: 1, poison: true })));
afterEach(() => device.dispose());

const languageModel = (kind = 'rooted', seed = 5): LanguageModel =>
  new LanguageModel(
    randomModel(device, { kind, numHeads: 3, seed, tied: true, modelType: 'llama' }),
    tokenizer,
  );

async function tokensOf(generation: Generation): Promise<number[]> {
  const tokens: number[] = [];
  for await (const piece of generation) tokens.push(...piece.tokens);
  return tokens;
}

const prompts = ['abc', 'a longer prompt, of two pieces: '.repeat(2), 'x', 'abc'];
const base = { maxTokens: 20, ignoreEos: true } as const;

/** Counts the captures that `work` makes. */
async function capturesOf(work: () => Promise<unknown>): Promise<number> {
  const spy = jest.spyOn(native, 'beginCapture');
  try {
    await work();
    return spy.mock.calls.length;
  } finally {
    spy.mockRestore();
  }
}

describe.each(headKinds)('heads of kind %s', (kind) => {
  test.each<[string, GenerateOptions]>([
    ['greedy', { speculation: { tree: 'chain', depth: 2 } }],
    ['sampled', { temperature: 1.2, seed: 7, speculation: { tree: 'best', nodes: 5 } }],
    ['with penalties', { repetitionPenalty: 1.5, speculation: { tree: 'full', widths: [2, 2] } }],
    ['plain', { speculation: 'none' }],
  ])('a text after others equals the text alone, %s', async (_, more) => {
    using language = languageModel(kind);
    const options = { ...base, ...more };
    for (const prompt of prompts) {
      const alone = await tokensOf(generate(language.model, tokenizer, prompt, options));
      expect(await tokensOf(language.generate(prompt, options))).toEqual(alone);
    }
  });
});

test('the second text captures nothing', async () => {
  using language = languageModel();
  const options: GenerateOptions = { ...base, speculation: { tree: 'chain', depth: 2 } };
  const decode = (prompt: string) => () => tokensOf(language.generate(prompt, options));
  expect(await capturesOf(decode('abc'))).toBeGreaterThan(0);
  expect(await capturesOf(decode('abcdef'))).toBe(0);
});

test.each<[string, GenerateOptions, GenerateOptions]>([
  ['another seed', { temperature: 1, seed: 1 }, { temperature: 1, seed: 2 }],
  ['another temperature', { temperature: 1, seed: 1 }, { temperature: 2, seed: 1 }],
  ['a bias', {}, { logitBias: new Map([[65, 100]]) }],
  ['no bias', { logitBias: new Map([[65, 100]]) }, {}],
  ['penalties', {}, { presencePenalty: 1.9 }],
  ['a longer text', {}, { maxTokens: 90 }],
  ['speculation', { speculation: 'none' }, { speculation: { tree: 'chain', depth: 2 } }],
])('%s takes effect', async (_, first, second) => {
  using language = languageModel();
  const before = await tokensOf(language.generate('abc', { ...base, ...first }));
  const options = { ...base, ...second };
  const alone = await tokensOf(generate(language.model, tokenizer, 'abc', options));
  expect(await tokensOf(language.generate('abc', options))).toEqual(alone);
  // Every option except speculation changes the text, which shows that the option was applied.
  expect(String(alone) === String(before)).toBe(second.speculation !== undefined);
});

test('changed weights take effect', async () => {
  using language = languageModel();
  const before = await tokensOf(language.generate('abc', base));
  {
    using other = languageModel('rooted', 6);
    const { buckets } = language.model.parameters;
    buckets.forEach(({ value }, i) => value.copyFrom(other.model.parameters.buckets[i]!.value));
  }
  language.model.parameters.changed();
  const after = await tokensOf(language.generate('abc', base));
  expect(after).not.toEqual(before);
  expect(after).toEqual(await tokensOf(generate(language.model, tokenizer, 'abc', base)));
});

test('concurrent, abandoned and aborted texts change no other text and leave no tensor', async () => {
  const live = native.liveTensors();
  {
    using language = languageModel();
    const alone = await Promise.all(
      prompts.map((prompt) => tokensOf(generate(language.model, tokenizer, prompt, base))),
    );
    const together = prompts.map((prompt) => tokensOf(language.generate(prompt, base)));
    expect(await Promise.all(together)).toEqual(alone);
    const givenUp = language.generate('given up', base)[Symbol.asyncIterator]();
    await givenUp.next();
    await givenUp.return!();
    const abort = new AbortController();
    const aborted = language.generate('aborted', { ...base, signal: abort.signal })[Symbol.asyncIterator]();
    await aborted.next();
    abort.abort();
    await expect(aborted.next()).rejects.toThrow('abort');
    expect(await tokensOf(language.generate('abc', base))).toEqual(alone[0]);
  }
  expect(native.liveTensors()).toBe(live);
});

test('a text that ends after its model was disposed leaves no tensor', async () => {
  const live = native.liveTensors();
  const language = languageModel();
  const pieces = language.generate('abc', base)[Symbol.asyncIterator]();
  let count = 0;
  while (count < base.maxTokens) {
    const piece = (await pieces.next()) as IteratorYieldResult<GeneratedPiece>;
    count += piece.value.tokens.length;
  }
  language.dispose();
  expect((await pieces.next()).done).toBe(true);
  expect(native.liveTensors()).toBe(live);
});
