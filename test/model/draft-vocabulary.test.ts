// The tokens that heads propose: what may be set, what is saved, what decoding proposes, and that texts stay the same.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { generate } from '../../lib/decode/generate';
import { LanguageModel } from '../../lib/decode/language-model';
import type { GenerateOptions } from '../../lib/decode/options';
import { makeProposer } from '../../lib/decode/proposer';
import { saveModel } from '../../lib/model/checkpoint';
import { DRAFT_VOCABULARY_NAME } from '../../lib/model/draft-vocabulary';
import { loadModel } from '../../lib/model/load';
import { MtpModel, type ModelInit } from '../../lib/model/model';
import { noGrad } from '../../lib/tensor/autograd';
import { openDevice, type Device } from '../../lib/tensor/device';
import { scope } from '../../lib/tensor/scope';
import { runCli } from '../support/cli';
import { foretokenError } from '../support/errors';
import { TemporaryDirectory } from '../support/temporary';
import { tinyModel, tokenizer } from '../support/training';

const temporary = new TemporaryDirectory();
const { vocabSize } = tokenizer;
let device: Device;
beforeEach(() => (device = openDevice('cpu', { threads: 1, poison: true })));
afterEach(() => {
  expect(device.memory().live).toBe(0);
  device.dispose();
});

const makeModel = (kind = 'parallel', init: ModelInit = {}): MtpModel =>
  new MtpModel(device, { ...tinyModel(kind, 3), vocabSize }, { seed: 3, ...init });

/** Proposes for two texts, by slot, head and rank. */
async function proposalsOf(model: MtpModel, temperature: number): Promise<number[]> {
  const { tokens } = scope(() =>
    noGrad(() => {
      const positions = device.tensor(Int32Array.of(5, 9));
      const proposer = makeProposer(model, positions, { width: 4, sampling: { temperature, seed: 2 } });
      const values = Float32Array.from({ length: 2 * model.config.hiddenSize }, (_, i) => Math.sin(3 * i));
      for (let head = 2; head <= model.numHeads; head++) {
        proposer.add(device.tensor(values, [2, model.config.hiddenSize]));
      }
      return { tokens: proposer.finish().tokens };
    }),
  );
  using owned = tokens;
  return [...((await owned.data()) as Int32Array)];
}

async function textOf(model: MtpModel, options: GenerateOptions): Promise<number[]> {
  const tokens: number[] = [];
  for await (const step of generate(model, tokenizer, 'abcabc', { maxTokens: 24, ...options })) {
    tokens.push(...step.tokens);
  }
  return tokens;
}

test.each(['parallel', 'sequential'])('heads of kind %s propose only these tokens', async (kind) => {
  using model = makeModel(kind);
  for (const temperature of [0, 1]) {
    model.draftVocabulary = null;
    const all = await proposalsOf(model, temperature);
    const most = Array.from({ length: vocabSize }, (_, token) => token).filter((token) => token % 5 !== 3);
    model.draftVocabulary = most;
    const some = await proposalsOf(model, temperature);
    for (const token of some) expect(most).toContain(token);
    // The best of a head stays its best, if it may be proposed.
    expect(some[0]).toBe(all.slice(0, 4).find((token) => most.includes(token)) ?? some[0]);
    model.draftVocabulary = Array.from({ length: vocabSize }, (_, token) => vocabSize - 1 - token);
    expect(await proposalsOf(model, temperature)).toEqual(all);
  }
});

test.each<ModelInit>([{}, { dtype: 'bfloat16', masters: false }, { dtype: 'int8', masters: false }])(
  'texts stay the same: %j',
  async (init) => {
    if (init.dtype && !device.packs(init.dtype)) return;
    using model = makeModel('sequential', init);
    for (const options of [{}, { temperature: 1, seed: 4, logitBias: new Map([[98, 2]]) }]) {
      const plain = await textOf(model, { ...options, speculation: 'none' });
      for (const tokens of [null, [97, 98, 99], plain, [0]]) {
        model.draftVocabulary = tokens && [...new Set(tokens)];
        expect(await textOf(model, options)).toEqual(plain);
      }
    }
  },
);

test('drafts of a language model come from the tokens that are set last', async () => {
  using language = new LanguageModel(makeModel('parallel'), tokenizer);
  const { model } = language;
  const statsOf = async (width: number): Promise<{ tokens: number[]; accepted: number }> => {
    const options = {
      maxTokens: 40,
      ignoreEos: true,
      speculation: { tree: 'full', widths: [width] },
    } as const;
    const [tokens, sizes] = [[] as number[], [] as number[]];
    for await (const step of language.generate('abcabc', options)) {
      tokens.push(...step.tokens);
      sizes.push(step.tokens.length);
    }
    return { tokens, accepted: tokens.length - sizes.length };
  };
  const { tokens } = await statsOf(1);
  // A tree of all tokens that the text has is always right, and one of a token that it lacks never is.
  const own = [...new Set(tokens)];
  model.draftVocabulary = own;
  expect(await statsOf(own.length)).toEqual({ tokens, accepted: 20 });
  model.draftVocabulary = [Array.from({ length: vocabSize }, (_, i) => i).find((i) => !tokens.includes(i))!];
  expect(await statsOf(1)).toEqual({ tokens, accepted: 0 });
});

test('changed weights change the proposals', async () => {
  using model = makeModel();
  model.draftVocabulary = [5, 70, 71, 80, 90];
  const before = await proposalsOf(model, 0);
  const { value } = model.unembedding;
  using first = value.view(70 * model.config.hiddenSize, [model.config.hiddenSize]);
  first.write(Float32Array.from({ length: first.size }, (_, i) => 100 * Math.sin(3 * i)));
  model.parameters.changed();
  const after = await proposalsOf(model, 0);
  expect(after[0]).toBe(70);
  expect(after).not.toEqual(before);
});

test('widths of trees are bounded by it', async () => {
  using model = makeModel();
  model.draftVocabulary = [1, 2];
  const wide = textOf(model, { speculation: { tree: 'full', widths: [3] } });
  await expect(wide).rejects.toEqual(foretokenError('INVALID_ARGUMENT', 'widths', '1 to 2', '3'));
  expect(await textOf(model, { speculation: { tree: 'full', widths: [2, 2] } })).toHaveLength(24);
});

test('what is no list of different tokens is refused, and the old one stays', () => {
  using model = makeModel();
  model.draftVocabulary = Int32Array.of(9, 3);
  for (const bad of [[], [1, 1], [-1], [vocabSize], [1.5], [NaN], 7, 'abc', ['1'], undefined]) {
    expect(() => (model.draftVocabulary = bad as never)).toThrow(
      foretokenError('INVALID_ARGUMENT', 'draftVocabulary', 'or null', String(vocabSize - 1)),
    );
  }
  expect(model.draftVocabulary).toEqual([3, 9]);
});

test('is saved with the model, and removed with it', async () => {
  const directory = temporary.at('model');
  using model = makeModel();
  model.draftVocabulary = [65, 3, 66];
  await saveModel(directory, model, tokenizer);
  {
    using loaded = (await loadModel(device, directory)).model;
    expect(loaded.draftVocabulary).toEqual([3, 65, 66]);
  }
  model.draftVocabulary = null;
  await saveModel(directory, model, tokenizer);
  expect(existsSync(`${directory}/${DRAFT_VOCABULARY_NAME}`)).toBe(false);
  using plain = (await loadModel(device, directory)).model;
  expect(plain.draftVocabulary).toBeNull();
});

test.each([
  '',
  '[1, 2]',
  '{"token_ids": 1}',
  '{"token_ids": []}',
  '{"token_ids": [1, 100000]}',
  '{"token_ids": null}',
])('a file with %j is refused', async (content) => {
  const directory = temporary.at('model');
  {
    using model = makeModel();
    await saveModel(directory, model, tokenizer);
  }
  writeFileSync(`${directory}/${DRAFT_VOCABULARY_NAME}`, content);
  await expect(loadModel(device, directory)).rejects.toEqual(
    foretokenError('CORRUPT_FILE', DRAFT_VOCABULARY_NAME, 'token_ids must be one or more different tokens'),
  );
});

describe('foretoken draft-vocabulary', () => {
  let directory: string;
  beforeEach(async () => {
    directory = temporary.at('model');
    using model = makeModel();
    await saveModel(directory, model, tokenizer);
    temporary.write('text/a.txt', 'aaaabbbcc');
    temporary.write('text/b.txt', 'a');
  });
  const list = (): unknown => JSON.parse(readFileSync(`${directory}/${DRAFT_VOCABULARY_NAME}`, 'utf8'));

  test('keeps the most frequent tokens of a text', async () => {
    const run = await runCli('draft-vocabulary', directory, temporary.at('text'), '--size', '2', '--json');
    expect([run.code, run.stderr]).toEqual([0, '']);
    expect(list()).toEqual({ token_ids: [97, 98] });
    // Every document ends with the end-of-text token: 12 tokens.
    expect(JSON.parse(run.stdout)).toEqual({ directory, tokens: 2, of: vocabSize, share: 8 / 12 });
    using model = (await loadModel(device, directory)).model;
    expect(model.draftVocabulary).toEqual([97, 98]);
  });

  test('keeps no token that the text lacks', async () => {
    const run = await runCli('draft-vocabulary', directory, temporary.at('text/a.txt'));
    expect([run.code, run.stderr]).toEqual([0, '']);
    expect(run.stdout).toContain(`4 of ${vocabSize} tokens, 100.0 % of the text`);
    expect(list()).toEqual({ token_ids: [97, 98, 99, tokenizer.eosId].sort((a, b) => a! - b!) });
  });

  test.each([
    [[], 2, "a model's directory"],
    [['model'], 2, 'text'],
    [['model', 'text', '--size', '0'], 2, '--size'],
    [['nothing', 'text'], 1, 'nothing'],
  ])('%j is refused', async (argv, code, part) => {
    const run = await runCli(
      'draft-vocabulary',
      ...argv.map((x) => (/^[mtn]/.test(x) ? temporary.at(x) : x)),
    );
    expect(run.code).toBe(code);
    expect(run.stderr).toContain(part);
    expect(existsSync(`${directory}/${DRAFT_VOCABULARY_NAME}`)).toBe(false);
  });
});
