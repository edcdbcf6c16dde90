// Models with int8 matrices: their values, their memory, their text.
import { existsSync } from 'node:fs';
import { LanguageModel, type LoadOptions } from '../../lib/decode/language-model';
import type { GenerateOptions } from '../../lib/decode/options';
import { saveModel } from '../../lib/model/checkpoint';
import { loadWeights } from '../../lib/model/load';
import { MtpModel } from '../../lib/model/model';
import { native } from '../../lib/native/load';
import { openDevice, type Device } from '../../lib/tensor/device';
import { PackedRows } from '../../lib/train/data';
import { evaluate } from '../../lib/train/evaluate';
import { foretokenError } from '../support/errors';
import { dotFormats } from '../support/dot-formats';
import { TemporaryDirectory } from '../support/temporary';
import { tinyCorpus, tokenizer } from '../support/training';

const temporary = new TemporaryDirectory();
let device: Device;
beforeEach(() => (device = openDevice('cpu', { threads: 2, poison: true })));
afterEach(() => device.dispose());

const HIDDEN = 64;
const options = (tieWordEmbeddings: boolean) => ({
  vocabSize: tokenizer.vocabSize,
  hiddenSize: HIDDEN,
  intermediateSize: 96,
  numHiddenLayers: 2,
  numAttentionHeads: 4,
  initializerRange: 0.2,
  tieWordEmbeddings,
  mtp: { kind: 'sequential', numHeads: 4 },
});

/** Saves a model and returns its directory. */
async function saved(tied = true): Promise<string> {
  const directory = temporary.at(`model-${tied}`);
  using model = new MtpModel(device, options(tied), { seed: 1 });
  await saveModel(directory, model, tokenizer);
  return directory;
}

const load = (directory: string, dtype: LoadOptions['dtype']): Promise<LanguageModel> =>
  LanguageModel.load(directory, { device, dtype });

async function textOf(language: LanguageModel, more: GenerateOptions = {}): Promise<string> {
  let text = '';
  const generation = language.generate('export int', { maxTokens: 40, ignoreEos: true, ...more });
  for await (const piece of generation) text += piece.text;
  return text;
}

test.each([true, false])('holds the int8 values nearest to the checkpoint (tied: %p)', async (tied) => {
  const directory = await saved(tied);
  using whole = await load(directory, 'float32');
  using small = await load(directory, 'int8');
  const { parameters, dtype } = small.model;
  expect([dtype, parameters.storedDtype, parameters.trainable]).toEqual(['float32', 'int8', false]);
  expect(parameters.size).toBe(whole.model.parameters.size);
  const tokens = device.tensor(Int32Array.from({ length: tokenizer.vocabSize }, (_, token) => token));
  const embedded = (await whole.model.embed(tokens).data()) as Float32Array;
  expect(await small.model.embed(tokens).data()).toEqual(
    Float32Array.from(dotFormats.int8.held(embedded, HIDDEN)),
  );
  for (const [i, { value, decay }] of parameters.parameters.entries()) {
    expect(value.dtype).toBe(decay ? 'int8' : 'float32');
    if (!decay) expect(await value.data()).toEqual(await whole.model.parameters.parameters[i]!.value.data());
  }
});

test('takes a quarter of the memory, and while loading one matrix more at most', async () => {
  const directory = await saved();
  const sizes: number[] = [];
  for (const dtype of ['float32', 'int8'] as const) {
    const before = device.memory().live;
    device.resetPeak();
    using language = await load(directory, dtype);
    const { live, peak } = device.memory();
    sizes.push(live - before);
    const largest = Math.max(...language.model.parameters.parameters.map(({ size }) => size));
    if (dtype === 'int8') expect(peak - live).toBeLessThanOrEqual(2.1 * 4 * largest);
  }
  expect(sizes[1]! / sizes[0]!).toBeLessThan(0.3);
  expect(native.liveTensors()).toBe(0);
});

test('generates the same text with any speculation, and after its weights are loaded again', async () => {
  const directory = await saved();
  using language = await load(directory, 'int8');
  const plain = await textOf(language, { speculation: 'none' });
  expect(await textOf(language, { speculation: { tree: 'chain', depth: 3 } })).toBe(plain);
  expect(await textOf(language, { speculation: { tree: 'full', widths: [3, 2, 1] } })).toBe(plain);
  expect(await textOf(language)).toBe(plain);
  await loadWeights(language.model, directory);
  expect(await textOf(language)).toBe(plain);
  await loadWeights(language.model, await savedWithSeed(2));
  expect(await textOf(language)).not.toBe(plain);
});

async function savedWithSeed(seed: number): Promise<string> {
  using model = new MtpModel(device, options(true), { seed });
  await saveModel(temporary.at(`seed-${seed}`), model, tokenizer);
  return temporary.at(`seed-${seed}`);
}

test('predicts text nearly as well', async () => {
  const directory = await saved();
  const data = await tinyCorpus(temporary.path);
  const losses: number[][] = [];
  for (const dtype of ['float32', 'int8'] as const) {
    using language = await load(directory, dtype);
    const rows = new PackedRows(data, { rowLength: 32, heads: 4 });
    const { loss, heads } = await evaluate(language.model, rows, { tokenizer });
    losses.push([loss!, ...heads.map((head) => head.loss!)]);
  }
  await data.close();
  losses[0]!.forEach((loss, i) => {
    expect(losses[1]![i]).not.toBe(loss);
    expect(Math.abs(losses[1]![i]! / loss - 1)).toBeLessThan(0.002);
  });
});

test('gets the weights of a seed that the model in float32 gets', async () => {
  using whole = new MtpModel(device, options(false), { seed: 5 });
  using small = new MtpModel(device, options(false), { seed: 5, dtype: 'int8', masters: false });
  const tokens = device.tensor(Int32Array.of(0, 7));
  const [a, b] = [await whole.embed(tokens).data(), await small.embed(tokens).data()];
  expect(b).toEqual(Float32Array.from(dotFormats.int8.held(a as Float32Array, HIDDEN)));
});

test('refuses to be saved, and leaves no file', async () => {
  using language = await load(await saved(), 'int8');
  const target = temporary.at('copy');
  await expect(saveModel(target, language.model, tokenizer)).rejects.toThrow(
    foretokenError('UNSUPPORTED', 'a model in int8 cannot be saved'),
  );
  expect(existsSync(target)).toBe(false);
});

test('is refused for training and on devices without int8', async () => {
  expect(() => new MtpModel(device, options(true), { dtype: 'int8' })).toThrow(
    foretokenError('INVALID_ARGUMENT', 'model: dtype is int8', 'masters: false'),
  );
  const directory = await saved();
  await expect(LanguageModel.load(directory, { device: 'cuda-emulated', dtype: 'int8' })).rejects.toThrow(
    foretokenError('UNSUPPORTED', 'model: dtype is int8, but this device (cuda-emulated)'),
  );
});
