import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { LanguageModel, type LoadOptions } from '../../lib/decode/language-model';
import { saveModel } from '../../lib/model/checkpoint';
import { MtpModel } from '../../lib/model/model';
import { native } from '../../lib/native/load';
import { openDevice, type Device } from '../../lib/tensor/device';
import type { DeviceName } from '../../lib/tensor/device-options';
import { foretokenError } from '../support/errors';
import { TemporaryDirectory } from '../support/temporary';
import { tinyModel, tokenizer } from '../support/training';

const temporary = new TemporaryDirectory();
let device: Device;
beforeEach(() => (device = openDevice('cpu', { threads: 1 })));
afterEach(() => device.dispose());

/** The directory of a saved model. */
async function saved(): Promise<string> {
  using model = new MtpModel(
    device,
    { ...tinyModel('medusa', 2), vocabSize: tokenizer.vocabSize },
    { seed: 1 },
  );
  await saveModel(temporary.at('model'), model, tokenizer);
  return temporary.at('model');
}

test.each<[string, () => LoadOptions | Device | DeviceName | undefined, boolean]>([
  ['a device', () => device, false],
  ['a device among options', () => ({ device, dtype: 'float32' }), false],
  ["a device's name", () => 'cpu', true],
  ['a name among options', () => ({ device: 'cpu' }), true],
  ['options that leave it open', () => ({}), true],
  ['nothing', () => undefined, true],
])('a model is loaded onto %s; what was opened for it is closed with it', async (_, options, isOwn) => {
  const directory = await saved();
  const model = await LanguageModel.load(directory, options());
  const used = model.model.device;
  expect(used === device).toBe(!isOwn);
  let text = '';
  for await (const piece of model.generate('abc', { maxTokens: 3 })) text += piece.text;
  expect(typeof text).toBe('string');
  model.dispose();
  expect(used.closed).toBe(isOwn);
});

test.each([['float16', 'INVALID_ARGUMENT', 'dtype must be float32, bfloat16 or int8, but is float16']])(
  'the CPU has no models in %s, and nothing is left open',
  async (dtype, code, message) => {
    const directory = await saved();
    const closeDevice = jest.spyOn(native, 'closeDevice');
    const before = native.liveTensors();
    const options = { device: 'cpu', dtype } as LoadOptions;
    await expect(LanguageModel.load(directory, options)).rejects.toEqual(
      foretokenError(code as never, message),
    );
    expect(closeDevice).toHaveBeenCalledTimes(1);
    expect(native.liveTensors()).toBe(before);
    closeDevice.mockRestore();
  },
);

test('on the CPU weights in bfloat16 take half the memory, and give what the same numbers in float32 give', async () => {
  const directory = await saved();
  const load = (from: string, dtype: LoadOptions['dtype']): Promise<LanguageModel> =>
    LanguageModel.load(from, { device, dtype });
  const textOf = async (language: LanguageModel): Promise<string> => {
    let text = '';
    for await (const piece of language.generate('abc', { maxTokens: 20, ignoreEos: true }))
      text += piece.text;
    return text;
  };
  using half = await load(directory, 'bfloat16');
  const { parameters, dtype } = half.model;
  expect([dtype, parameters.storedDtype, parameters.trainable]).toEqual(['float32', 'bfloat16', false]);
  expect(half.model.unembedding.packed().dtype).toBe('bfloat16');

  const rounded = temporary.at('rounded');
  await saveModel(rounded, half.model, half.tokenizer);
  using whole = await load(rounded, 'float32');
  expect(whole.model.parameters.storedDtype).toBe('float32');
  expect(await textOf(half)).toBe(await textOf(whole));
  const weights = [half, whole].map(({ model }) => model.parameters.buckets.map(({ value }) => value));
  for (const [i, bucket] of weights[0]!.entries()) {
    expect(await bucket.cast('float32').data()).toEqual(await weights[1]![i]!.data());
  }
});

test('config.json says what the weights beside it are stored in', async () => {
  const config = readFileSync(join(await saved(), 'config.json'), 'utf8');
  expect(JSON.parse(config)).toMatchObject({ torch_dtype: 'float32' });
});
