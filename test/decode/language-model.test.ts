import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { LanguageModel, type LoadOptions } from '../../lib/decode/language-model';
import { saveModel } from '../../lib/model/checkpoint';
import { MtpModel } from '../../lib/model/model';
import { createTokenizer } from '../../lib/model/tokenizer';
import { native } from '../../lib/native/load';
import { openDevice, type Device } from '../../lib/tensor/device';
import type { DeviceName } from '../../lib/tensor/device-options';
import { foretokenError } from '../support/errors';
import { nearest } from '../support/half';
import { TemporaryDirectory } from '../support/temporary';
import { byteFallback } from '../model/tokenizer/examples';
import { tinyModel, tokenizer } from '../support/training';

const temporary = new TemporaryDirectory();
let device: Device;
beforeEach(() => (device = openDevice('cpu', { threads: 1, poison: true })));
afterEach(() => device.dispose());

/** Saves a model and returns its directory. */
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
  ['the default of empty options', () => ({}), true],
  ['the default device', () => undefined, true],
])('loads a model onto %s; a device that load opened is closed with the model', async (_, options, isOwn) => {
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

test('refuses float16 before it opens a device', async () => {
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

test('closes the device that it opened if the model cannot be loaded', async () => {
  const closeDevice = jest.spyOn(native, 'closeDevice');
  await expect(LanguageModel.load('no/such/directory', 'cpu')).rejects.toEqual(foretokenError('FILE_ACCESS'));
  expect(closeDevice).toHaveBeenCalledTimes(1);
  closeDevice.mockRestore();
});

test('on the CPU a bfloat16 model keeps only packed weights, and saves them unchanged', async () => {
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

test('config.json names the type of the saved weights', async () => {
  const config = readFileSync(join(await saved(), 'config.json'), 'utf8');
  expect(JSON.parse(config)).toMatchObject({ torch_dtype: 'float32' });
});

describe('chat', () => {
  const template =
    "{{ bos_token }}{% for m in messages %}{{ m.role[0] }}{{ m.content }}{% endfor %}{{ '!' if add_generation_prompt }}";
  const files = {
    'tokenizer.json': JSON.stringify(byteFallback()),
    'tokenizer_config.json': JSON.stringify({ bos_token: '<s>', eos_token: '</s>', chat_template: template }),
  };
  const always = { logitBias: new Map([[262, 1e6]]), maxTokens: 2 };
  const messages = [
    { role: 'user', content: 'ab' },
    { role: 'assistant', content: 'b' },
  ];
  const collect = async (generation: AsyncIterable<{ text: string }>): Promise<string> => {
    let text = '';
    for await (const piece of generation) text += piece.text;
    return text;
  };
  const withModel = async (use: (chat: LanguageModel) => Promise<void>): Promise<void> => {
    const model = new MtpModel(device, { ...tinyModel('medusa', 2), vocabSize: 266 }, { seed: 1 });
    using chat = new LanguageModel(model, createTokenizer(files));
    await use(chat);
  };

  test('answers by the template: an answer begins a text, a continued message goes on', async () => {
    await withModel(async (chat) => {
      const answer = chat.chat(messages.slice(0, 1), always);
      expect(await collect(answer)).toBe('a a');
      const prompt = chat.tokenizer.encode('<s>uab!', { addSpecialTokens: false });
      expect(answer.stats.promptTokens).toBe(prompt.length);
      const going = chat.chat(messages, { ...always, continueFinalMessage: true });
      expect(await collect(going)).toBe(' a a');
      const other = { chatTemplate: '{{ messages[0].content }}', templateVariables: {}, ...always };
      expect(await collect(chat.chat(messages, other))).toBe('a a');
    });
  });

  test('has the same answer with any speculation', async () => {
    await withModel(async (chat) => {
      const options = { temperature: 1, seed: 3, maxTokens: 12, ignoreEos: true };
      const plain = await collect(chat.chat(messages, { ...options, speculation: 'none' }));
      expect(await collect(chat.chat(messages, options))).toBe(plain);
    });
  });

  test('refuses wrong messages and options at the call', async () => {
    await withModel((chat) => {
      const refusals: [() => unknown, string[]][] = [
        [() => chat.chat('Hi' as unknown as []), ['chat: messages must be an array, each element a message']],
        [() => chat.chat(messages, { temperature: -1 }), ['chat: temperature must be']],
        [() => chat.chat(messages, { tools: 1 } as object), ['chat: tools must be an array']],
        [() => chat.chat(messages, { top_p: 1 } as object), ['chat', 'has no option top_p']],
        [() => chat.chat(messages, 5 as unknown as object), ['chat: options must be an object, but is 5']],
      ];
      for (const [call, parts] of refusals)
        expect(call).toThrow(foretokenError('INVALID_ARGUMENT', ...parts));
      return Promise.resolve();
    });
  });
});
