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

test.each([
  ['bfloat16', 'UNSUPPORTED', 'dtype is bfloat16, but this device (cpu) computes in float32 only'],
  ['float16', 'INVALID_ARGUMENT', 'dtype must be float32 or bfloat16, but is float16'],
])('the CPU has no models in %s, and nothing is left open', async (dtype, code, message) => {
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
});

test('config.json says what the weights beside it are stored in', async () => {
  const config = readFileSync(join(await saved(), 'config.json'), 'utf8');
  expect(JSON.parse(config)).toMatchObject({ torch_dtype: 'float32' });
});
