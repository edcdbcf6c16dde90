// Files of others load whatever their prefixes, shards and types are; what would be computed otherwise is refused.
import { rmSync } from 'node:fs';
import { saveModel } from '../../../lib/model/checkpoint';
import { generate } from '../../../lib/decode/generate';
import { loadModel } from '../../../lib/model/load';
import { writeSafetensors, type NamedTensor } from '../../../lib/model/safetensors';
import { openDevice, type Device } from '../../../lib/tensor/device';
import {
  CONFIGS,
  namedTensors,
  randomCheckpoint,
  writeCheckpoint,
  type Json,
} from '../../support/checkpoints';
import { foretokenError } from '../../support/errors';
import { encode } from '../../support/half';
import { TemporaryDirectory } from '../../support/temporary';
import { tokenizer, weightsOf } from '../../support/training';

const temporary = new TemporaryDirectory();
let device: Device;
beforeEach(() => (device = openDevice('cpu', { threads: 1, poison: true })));
afterEach(() => {
  const { live } = device.memory();
  device.dispose();
  expect(live).toBe(0);
});

const llama = CONFIGS.llama!;
const tensors = namedTensors(randomCheckpoint(llama));
const EMBEDDING = 'model.embed_tokens.weight';

/** Writes a checkpoint, loads it and returns its weights and configuration. */
async function loaded(json: Json, all: readonly NamedTensor[], expected?: { tied: boolean }) {
  const directory = await writeCheckpoint(temporary, json, all);
  using model = (await loadModel(device, directory)).model;
  if (expected) expect(model.config.tieWordEmbeddings).toBe(expected.tied);
  return { weights: await weightsOf({ model }), config: model.config };
}

const refused = async (json: Json, all: readonly NamedTensor[], ...parts: string[]) => {
  const directory = await writeCheckpoint(temporary, json, all);
  await expect(loadModel(device, directory)).rejects.toEqual(
    expect.objectContaining({ message: expect.anything() }),
  );
  const error = (await loadModel(device, directory).catch((e: unknown) => e)) as Error;
  for (const part of parts) expect(error.message).toContain(part);
};

const renamed = (rename: (name: string) => string, all = tensors): NamedTensor[] =>
  all.map((tensor) => ({ ...tensor, name: rename(tensor.name) }));

describe('prefixes', () => {
  it.each<[string, (name: string) => string]>([
    ['of compiled models', (name) => `_orig_mod.${name}`],
    ['of data parallel training', (name) => `module.${name}`],
    ['of adapters', (name) => `base_model.model.${name}`],
    ['of parts of older multimodal models', (name) => `language_model.${name}`],
    ['of parts of newer ones', (name) => name.replace(/^model\./, 'model.language_model.')],
    ['of models without a head', (name) => name.replace(/^model\./, '')],
  ])('%s', async (_, rename) => {
    const expected = (await loaded(llama, tensors)).weights;
    expect((await loaded(llama, renamed(rename))).weights).toEqual(expected);
  });

  it('of heads in a wrapper', async () => {
    const json = { ...llama, mtp: { kind: 'medusa', num_heads: 2 } };
    const heads: NamedTensor[] = [
      {
        name: 'mtp.heads.2.blocks.0.linear.weight',
        dtype: 'F32',
        shape: [16, 16],
        data: new Float32Array(256).fill(1),
      },
      {
        name: 'mtp.heads.2.blocks.0.linear.bias',
        dtype: 'F32',
        shape: [16],
        data: new Float32Array(16).fill(2),
      },
    ];
    const expected = (await loaded(json, [...tensors, ...heads])).weights;
    expect(
      (
        await loaded(
          json,
          renamed((name) => `_orig_mod.${name}`, [...tensors, ...heads]),
        )
      ).weights,
    ).toEqual(expected);
  });

  it('two tensors of one usual name are refused', async () => {
    const twice = [...tensors, ...renamed((name) => `module.${name}`, tensors.slice(-1))];
    await refused(llama, twice, 'llama', '"module.lm_head.weight"', 'no place');
  });
});

it('the text model of a multimodal one loads without the rest', async () => {
  const { weights, config } = await loaded(CONFIGS.gemma3!, namedTensors(randomCheckpoint(CONFIGS.gemma3!)));
  const { tie_word_embeddings: tied, architectures: _, ...text } = CONFIGS.gemma3!;
  const json = {
    ...{ architectures: ['Gemma3ForConditionalGeneration'], model_type: 'gemma3', tie_word_embeddings: tied },
    ...{ text_config: text, vision_config: { hidden_size: 5 }, eos_token_id: [1, 106] },
  };
  const all = [
    ...renamed((name) => `language_model.${name}`, namedTensors(randomCheckpoint(CONFIGS.gemma3!))),
    { name: 'vision_tower.x', dtype: 'F32', shape: [1], data: new Float32Array(1) } as NamedTensor,
  ];
  const part = await loaded(json, all);
  expect(part.weights).toEqual(weights);
  expect(part.config).toEqual({ ...config, eosTokenIds: [1, 106] });
});

it.each([
  ['F16', 'float16'],
  ['BF16', 'bfloat16'],
] as const)('%s in shards', async (dtype, half) => {
  const all = tensors.map((tensor) => {
    const data = Uint16Array.from(encode(tensor.data as Float32Array, half));
    return { ...tensor, dtype, data };
  });
  const expected = (await loaded(llama, all)).weights;
  const directory = temporary.at('model');
  const files = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
  await writeSafetensors(temporary.at(`model/${files[0]}`), all.slice(0, 9));
  await writeSafetensors(temporary.at(`model/${files[1]}`), all.slice(9));
  const map = Object.fromEntries(all.map(({ name }, i) => [name, files[i < 9 ? 0 : 1]]));
  temporary.write('model/model.safetensors.index.json', JSON.stringify({ weight_map: map }));
  rmSync(temporary.at('model/model.safetensors'));
  const { model } = await loadModel(device, directory);
  expect(await weightsOf({ model })).toEqual(expected);
  model.dispose();
  const { peak } = device.memory();
  rmSync(temporary.at(`model/${files[1]}`));
  await expect(loadModel(device, directory)).rejects.toEqual(
    foretokenError('FILE_ACCESS', files[1]!, 'no such file'),
  );
  expect(device.memory().peak).toBe(peak);
});

describe('a flag of tied embeddings', () => {
  const json = { ...llama, tie_word_embeddings: true };
  const embedding = tensors.find(({ name }) => name === EMBEDDING)!;
  const others = tensors.filter(({ name }) => name !== 'lm_head.weight');

  it('beside a head that repeats the embedding', async () => {
    await loaded(json, [...others, { ...embedding, name: 'lm_head.weight' }], { tied: true });
  });

  it('beside another head: the head counts', async () => {
    const { weights } = await loaded(json, tensors, { tied: false });
    expect(weights.get('lm_head.weight')).toEqual(tensors.at(-1)!.data);
  });

  it('beside a head of another shape is refused', async () => {
    const head: NamedTensor = { name: 'lm_head.weight', dtype: 'F32', shape: [2], data: new Float32Array(2) };
    await refused(json, [...others, head], '"lm_head.weight"', '[2]', '[260, 16]');
  });

  it('without a head, and no flag: refused', async () => {
    await refused(llama, others, 'llama', 'lacks tensor "lm_head.weight"');
  });
});

describe('tokens that end a text', () => {
  const write = async (config: unknown, generation?: unknown): Promise<string> => {
    const directory = await writeCheckpoint(temporary, { ...llama, eos_token_id: config }, tensors);
    if (generation !== undefined) {
      temporary.write('model/generation_config.json', JSON.stringify({ eos_token_id: generation, top_k: 3 }));
    }
    return directory;
  };

  it('are those of all files, and are saved again', async () => {
    const directory = await write([256, 65], [66, 256]);
    const first = await loadModel(device, directory);
    expect(first.model.config.eosTokenIds).toEqual([256, 65, 66]);
    await saveModel(temporary.at('again'), first.model, first.tokenizer);
    first.model.dispose();
    using model = (await loadModel(device, temporary.at('again'))).model;
    expect(model.config.eosTokenIds).toEqual([256, 65, 66]);
    expect(model.generationConfig).toEqual({ eos_token_id: [66, 256], top_k: 3 });
  });

  it('end one, each of them', async () => {
    using model = (await loadModel(device, await write(null))).model;
    const bias = (token: number) => ({ logitBias: new Map([[token, 1e4]]), maxTokens: 5 });
    const ended = async (token: number): Promise<string> => {
      const generation = generate(model, tokenizer, [1, 2], bias(token));
      const pieces: number[] = [];
      for await (const { tokens } of generation) pieces.push(...tokens);
      return `${pieces.length} ${generation.stats.finishReason}`;
    };
    expect(await ended(65)).toBe('5 length');
    expect(await ended(tokenizer.eosId!)).toBe('1 eos');
    const directory = await write([65], 66);
    using other = (await loadModel(device, directory)).model;
    for (const token of [65, 66, tokenizer.eosId!]) {
      const generation = generate(other, tokenizer, [1, 2], bias(token));
      for await (const { tokens } of generation) expect(tokens).toEqual([token]);
      expect(generation.stats.finishReason).toBe('eos');
    }
  });

  it.each([
    ['"2"', '2'],
    ['-1', -1],
    ['[1.5]', [1.5]],
  ])('%s is refused', async (_, value) => {
    await refused({ ...llama, eos_token_id: value }, tensors, 'config.json: llama: eos_token_id');
    await write(null, value);
    await expect(loadModel(device, temporary.at('model'))).rejects.toEqual(
      foretokenError('INVALID_CONFIG', 'generation_config.json: eos_token_id'),
    );
  });
});

it('an added token beyond the vocabulary is no reason to refuse a model, but its use is', async () => {
  // The tokenizer has 257 tokens, the last of which is added.
  const json = { ...llama, vocab_size: 256 };
  const small = namedTensors(randomCheckpoint(json));
  const directory = await writeCheckpoint(temporary, json, small);
  using model = (await loadModel(device, directory)).model;
  expect(() => generate(model, tokenizer, 'a<|endoftext|>')).toThrow(
    foretokenError('INVALID_ARGUMENT', 'prompt[1]', '255', '256'),
  );
  const smaller = { ...llama, vocab_size: 255 };
  await refused(smaller, namedTensors(randomCheckpoint(smaller)), 'llama: vocab_size is 255', '257 tokens');
});

it('names the first ten tensors that are missing, and those that have no place', async () => {
  const rename = (name: string) => (name.includes('proj') ? `${name}_q` : name);
  await refused(
    llama,
    renamed(rename),
    'llama',
    'lacks tensors',
    'and 18 more',
    'it has tensors',
    '.weight_q"',
  );
});
