import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { LanguageModel, type LoadOptions } from '../../lib/decode/language-model';
import { saveModel } from '../../lib/model/checkpoint';
import { MtpModel } from '../../lib/model/model';
import { native } from '../../lib/native/load';
import { openDevice, type Device } from '../../lib/tensor/device';
import type { DeviceName } from '../../lib/tensor/device-options';
import { foretokenError } from '../support/errors';
import { nearest } from '../support/half';
import { TemporaryDirectory } from '../support/temporary';
import { tinyModel, tokenizer } from '../support/training';

const temporary = new TemporaryDirectory();
let device: Device;
beforeEach(() => (device = openDevice('cpu', { threads: 1, poison: true })));
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

test('there are no models in float16, and nothing is opened for one', async () => {
  const directory = await saved();
  const openCpu = jest.spyOn(native, 'openCpu');
  const before = native.liveTensors();
  const options = { device: 'cpu', dtype: 'float16' } as object as LoadOptions;
  await expect(LanguageModel.load(directory, options)).rejects.toEqual(
    foretokenError(
      'INVALID_ARGUMENT',
      'LanguageModel.load: dtype must be one of float32, bfloat16, int8, but is "float16"',
    ),
  );
  expect(openCpu).not.toHaveBeenCalled();
  expect(native.liveTensors()).toBe(before);
  openCpu.mockRestore();
});

test('a device that is opened for a model is closed when the model cannot be loaded', async () => {
  const closeDevice = jest.spyOn(native, 'closeDevice');
  await expect(LanguageModel.load('no/such/directory', 'cpu')).rejects.toEqual(foretokenError('FILE_ACCESS'));
  expect(closeDevice).toHaveBeenCalledTimes(1);
  closeDevice.mockRestore();
});

test('on the CPU a model in bfloat16 is kept packed alone, and is saved as it is', async () => {
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
  const { unembedding } = half.model;
  expect([unembedding.value.dtype, unembedding.packed()]).toEqual(['bfloat16', unembedding.value]);
  const before = await textOf(half);

  const rounded = temporary.at('rounded');
  await saveModel(rounded, half.model, half.tokenizer);
  expect(JSON.parse(readFileSync(join(rounded, 'config.json'), 'utf8'))).toMatchObject({
    torch_dtype: 'bfloat16',
  });
  using whole = await load(rounded, 'float32');
  using original = await load(directory, 'float32');
  for (const [i, { value, decay }] of whole.model.parameters.parameters.entries()) {
    const given = (await original.model.parameters.parameters[i]!.value.data()) as Float32Array;
    expect(await value.data()).toEqual(decay ? given.map((x) => nearest(x, 'bfloat16')) : given);
  }
  using again = await load(rounded, 'bfloat16');
  expect(await textOf(again)).toBe(before);
});

test('config.json says what the weights beside it are stored in', async () => {
  const config = readFileSync(join(await saved(), 'config.json'), 'utf8');
  expect(JSON.parse(config)).toMatchObject({ torch_dtype: 'float32' });
});
