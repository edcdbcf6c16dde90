import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findModel, saveModel } from '../../lib/model/checkpoint';
import { loadModel, loadWeights } from '../../lib/model/load';
import type { ModelOptions } from '../../lib/model/config';
import { MtpModel, type ModelInit } from '../../lib/model/model';
import { readSafetensors, writeSafetensors, type NamedTensor } from '../../lib/model/safetensors';
import { native } from '../../lib/native/load';
import { openDevice, type Device } from '../../lib/tensor/device';
import { foretokenError } from '../support/errors';
import { TemporaryDirectory } from '../support/temporary';
import { tinyModel, tokenizer, weightsOf } from '../support/training';

const temporary = new TemporaryDirectory();
let device: Device;
beforeEach(() => (device = openDevice('cpu', { threads: 1, poison: true })));
afterEach(() => device.dispose());

const vocabSize = tokenizer.vocabSize;

function makeModel(kind: string, numHeads: number, more: Partial<ModelOptions> = {}): MtpModel {
  return new MtpModel(device, { ...tinyModel(kind, numHeads), vocabSize, ...more }, { seed: 3 });
}

function makeHuge(sizes: ModelOptions, init: ModelInit): void {
  new MtpModel(device, sizes, init).dispose();
}

async function saved(model: MtpModel): Promise<string> {
  await saveModel(temporary.at('model'), model, tokenizer);
  return temporary.at('model');
}

/** Changes the model's tensors and writes them again. */
async function rewrite(
  directory: string,
  change: (tensors: Map<string, NamedTensor>) => void,
): Promise<void> {
  const file = await readSafetensors(directory);
  const tensors = new Map<string, NamedTensor>();
  for (const name of file.names) tensors.set(name, { name, ...file.info(name), data: await file.read(name) });
  await file.close();
  change(tensors);
  await writeSafetensors(join(directory, 'model.safetensors'), tensors.values());
}

function changeConfig(directory: string, change: object): void {
  const path = join(directory, 'config.json');
  const config = JSON.parse(readFileSync(path, 'utf8')) as object;
  writeFileSync(path, JSON.stringify({ ...config, ...change }));
}

describe('names and shapes are those of Hugging Face', () => {
  const block = (prefix: string, more: Record<string, number[]> = {}): Record<string, number[]> => ({
    [`${prefix}.input_layernorm.weight`]: [16],
    [`${prefix}.mlp.down_proj.weight`]: [16, 24],
    [`${prefix}.mlp.gate_proj.weight`]: [24, 16],
    [`${prefix}.mlp.up_proj.weight`]: [24, 16],
    [`${prefix}.post_attention_layernorm.weight`]: [16],
    [`${prefix}.self_attn.k_proj.weight`]: [8, 16],
    [`${prefix}.self_attn.o_proj.weight`]: [16, 16],
    [`${prefix}.self_attn.q_proj.weight`]: [16, 16],
    [`${prefix}.self_attn.v_proj.weight`]: [8, 16],
    ...more,
  });
  const trunk = {
    'model.embed_tokens.weight': [vocabSize, 16],
    ...block('model.layers.0'),
    ...block('model.layers.1'),
    'model.norm.weight': [16],
  };
  const unembedding = { 'lm_head.weight': [vocabSize, 16] };
  const biases = (prefix: string): Record<string, number[]> => ({
    [`${prefix}.self_attn.q_proj.bias`]: [16],
    [`${prefix}.self_attn.k_proj.bias`]: [8],
    [`${prefix}.self_attn.v_proj.bias`]: [8],
  });
  const norms = (prefix: string): Record<string, number[]> => ({
    [`${prefix}.self_attn.q_norm.weight`]: [8],
    [`${prefix}.self_attn.k_norm.weight`]: [8],
  });
  const outBias = (prefix: string): Record<string, number[]> => ({
    [`${prefix}.self_attn.o_proj.bias`]: [16],
  });

  it.each<[string, MtpModelOptions, Record<string, number[]>]>([
    ['Llama', ['parallel', 1], { ...trunk, ...unembedding }],
    ['a tied unembedding', ['parallel', 1, { tieWordEmbeddings: true }], trunk],
    [
      'Llama with biases',
      ['parallel', 1, { attentionBias: true }],
      {
        ...{ ...trunk, ...unembedding, ...biases('model.layers.0'), ...biases('model.layers.1') },
        ...{ ...outBias('model.layers.0'), ...outBias('model.layers.1') },
      },
    ],
    [
      'Qwen2',
      ['parallel', 1, { modelType: 'qwen2' }],
      { ...trunk, ...unembedding, ...biases('model.layers.0'), ...biases('model.layers.1') },
    ],
    [
      'Qwen3',
      ['parallel', 1, { modelType: 'qwen3' }],
      { ...trunk, ...unembedding, ...norms('model.layers.0'), ...norms('model.layers.1') },
    ],
    [
      'parallel heads',
      ['parallel', 2],
      { ...trunk, ...unembedding, ...block('mtp.heads.2.layer'), 'mtp.heads.2.norm.weight': [16] },
    ],
    [
      'Medusa heads',
      ['medusa', 2],
      {
        ...{ ...trunk, ...unembedding, 'mtp.heads.2.blocks.0.linear.weight': [16, 16] },
        'mtp.heads.2.blocks.0.linear.bias': [16],
      },
    ],
    [
      'rooted heads',
      ['rooted', 2],
      {
        ...{ ...trunk, ...unembedding, 'mtp.heads.2.blocks.0.linear.weight': [16, 16] },
        ...{ 'mtp.heads.2.blocks.0.linear.bias': [16], 'mtp.heads.2.enorm.weight': [16] },
      },
    ],
    [
      'sequential heads',
      ['sequential', 2],
      {
        ...{ ...trunk, ...unembedding, ...block('mtp.heads.2.layer'), 'mtp.heads.2.norm.weight': [16] },
        ...{ 'mtp.heads.2.enorm.weight': [16], 'mtp.heads.2.hnorm.weight': [16] },
        'mtp.heads.2.eh_proj.weight': [16, 32],
      },
    ],
  ])('%s', async (_, options, expected) => {
    using model = makeModel(...options);
    const file = await readSafetensors(await saved(model));
    const actual = Object.fromEntries(file.names.map((name) => [name, file.info(name).shape]));
    expect(actual).toEqual(expected);
    expect(file.metadata).toEqual({ format: 'pt' });
    await file.close();
  });
});

type MtpModelOptions = Parameters<typeof makeModel>;

it.each<MtpModelOptions>([
  ['parallel', 3],
  ['medusa', 2, { tieWordEmbeddings: true }],
  ['sequential', 2, { modelType: 'qwen2' }],
  ['parallel', 1, { modelType: 'qwen3', numHiddenLayers: 1 }],
])('loads what saveModel saved: %s heads, %d', async (...options) => {
  using model = makeModel(...options);
  const before = native.liveTensors();
  const loaded = await loadModel(device, await saved(model));
  expect(loaded.model.config).toEqual(model.config);
  expect(loaded.tokenizer.files).toEqual(tokenizer.files);
  expect(await weightsOf(loaded)).toEqual(await weightsOf({ model }));
  loaded.model.dispose();
  expect(native.liveTensors()).toBe(before);
});

it.each(['float32', 'int8'] as const)('reports progress up to all weights, in %s', async (dtype) => {
  using model = makeModel('parallel', 2);
  const seen: number[] = [];
  const loaded = await loadModel(device, await saved(model), {
    ...{ dtype, masters: false },
    onProgress: ({ weights, of }) => {
      expect(of).toBe(model.parameters.size);
      seen.push(weights);
    },
  });
  loaded.model.dispose();
  expect(seen.length).toBeGreaterThan(10);
  expect(seen).toEqual([...seen].sort((a, b) => a - b));
  expect(seen.at(-1)).toBe(model.parameters.size);
});

it('loads each stored tensor into its layer', async () => {
  using model = makeModel('parallel', 1);
  const directory = await saved(model);
  await rewrite(directory, (tensors) => {
    for (const [name, tensor] of tensors) {
      if (name.endsWith('.k_proj.weight')) (tensor.data as Float32Array).fill(7);
    }
  });
  const loaded = await loadModel(device, directory);
  const weights = await weightsOf(loaded);
  for (const [name, values] of await weightsOf({ model })) {
    expect(weights.get(name)).toEqual(name.endsWith('.k_proj.weight') ? values.map(() => 7) : values);
  }
  loaded.model.dispose();
});

it('loading other weights discards packed weights', async () => {
  using model = makeModel('parallel', 1);
  const directory = await saved(model);
  const packed = model.unembedding.packed();
  await loadWeights(model, directory);
  expect(packed.disposed).toBe(true);
});

describe('loads checkpoints of other programs', () => {
  const bits = new Map([
    ['BF16', { one: 0x3f80, minusHalf: 0xbf00, smallest: [0x0001, 2 ** -133] }],
    ['F16', { one: 0x3c00, minusHalf: 0xb800, smallest: [0x0001, 2 ** -24] }],
  ] as const);

  it.each([...bits])('with %s weights', async (dtype, { one, minusHalf, smallest }) => {
    using model = makeModel('parallel', 1);
    const directory = await saved(model);
    await rewrite(directory, (tensors) => {
      const data = Uint16Array.from({ length: 16 }, () => one);
      data.set([minusHalf, smallest[0]]);
      tensors.set('model.norm.weight', { name: 'model.norm.weight', dtype, shape: [16], data });
    });
    const loaded = await loadModel(device, directory);
    const norm = (await weightsOf(loaded)).get('model.norm.weight')!;
    expect([...norm.subarray(0, 3)]).toEqual([-0.5, smallest[1], 1]);
    loaded.model.dispose();
  });

  it('with rotary frequencies, and with the unembedding of a tied model', async () => {
    using model = makeModel('parallel', 1, { tieWordEmbeddings: true });
    const directory = await saved(model);
    await rewrite(directory, (tensors) => {
      const name = 'model.layers.0.self_attn.rotary_emb.inv_freq';
      tensors.set(name, { name, dtype: 'F32', shape: [4], data: new Float32Array(4) });
      tensors.set('lm_head.weight', { ...tensors.get('model.embed_tokens.weight')!, name: 'lm_head.weight' });
    });
    const loaded = await loadModel(device, directory);
    expect(await weightsOf(loaded)).toEqual(await weightsOf({ model }));
    loaded.model.dispose();
  });
});

describe('refuses', () => {
  let directory: string;
  beforeEach(async () => {
    using model = makeModel('parallel', 2);
    directory = await saved(model);
  });

  it.each<[string, (tensors: Map<string, NamedTensor>) => void, string[]]>([
    [
      'a missing tensor',
      (tensors) => tensors.delete('model.layers.1.self_attn.v_proj.weight'),
      ['lacks tensor "model.layers.1.self_attn.v_proj.weight"'],
    ],
    [
      'an unexpected tensor',
      (tensors) =>
        tensors.set('extra', { name: 'extra', dtype: 'F32', shape: [1], data: new Float32Array(1) }),
      ['llama', '"extra"', 'no place'],
    ],
    [
      'another shape of the same size',
      (tensors) => {
        const name = 'model.layers.0.mlp.up_proj.weight';
        tensors.set(name, { ...tensors.get(name)!, shape: [16, 24] });
      },
      ['"model.layers.0.mlp.up_proj.weight"', '[16, 24]', '[24, 16]'],
    ],
    [
      'integers',
      (tensors) => {
        const name = 'model.norm.weight';
        tensors.set(name, { name, dtype: 'I32', shape: [16], data: new Int32Array(16) });
      },
      ['"model.norm.weight"', 'I32'],
    ],
  ])('%s', async (_, change, parts) => {
    await rewrite(directory, change);
    const before = native.liveTensors();
    await expect(loadModel(device, directory)).rejects.toEqual(foretokenError('CORRUPT_FILE', ...parts));
    expect(native.liveTensors()).toBe(before);
  });

  it('a config.json with more heads than the checkpoint', async () => {
    changeConfig(directory, { mtp: { kind: 'parallel', num_heads: 3 } });
    await expect(loadModel(device, directory)).rejects.toEqual(
      foretokenError('CORRUPT_FILE', 'mtp.heads.3.'),
    );
  });

  it.each<[object, 'INVALID_CONFIG' | 'CORRUPT_FILE', string[]]>([
    [{ num_hidden_layers: 1e9 }, 'INVALID_CONFIG', ['llama: num_hidden_layers must be', '1000000000']],
    [{ num_hidden_layers: 4000 }, 'INVALID_CONFIG', ['num_hidden_layers is 4000', 'holds 31 tensors']],
    [
      { num_hidden_layers: 3 },
      'CORRUPT_FILE',
      ['llama', 'lacks tensors "model.layers.2.', '"model.layers.2.mlp.down_proj.weight"'],
    ],
    [{ vocab_size: 1e9 }, 'INVALID_CONFIG', ['vocab_size must be', '1000000000']],
    [{ vocab_size: 10e6 }, 'CORRUPT_FILE', ['"model.embed_tokens.weight"', '[10000000, 16]']],
    [{ hidden_size: 1e12 }, 'INVALID_CONFIG', ['hidden_size must be']],
    [{ hidden_size: 2 ** 18 }, 'CORRUPT_FILE', ['[257, 262144]']],
    [{ intermediate_size: 2 ** 20 }, 'CORRUPT_FILE', ['mlp', '1048576']],
    [{ intermediate_size: 2 ** 53 }, 'INVALID_CONFIG', ['intermediate_size must be']],
    [{ num_attention_heads: 4096, num_key_value_heads: 4096 }, 'CORRUPT_FILE', ['self_attn', '32768']],
    [{ head_dim: 1e300 }, 'INVALID_CONFIG', ['head_dim must be']],
    [{ max_position_embeddings: 2 ** 31 }, 'INVALID_CONFIG', ['max_position_embeddings must be']],
  ])('a config.json with %j, before allocating memory', async (change, code, parts) => {
    changeConfig(directory, change);
    const { peak } = device.memory();
    await expect(loadModel(device, directory)).rejects.toEqual(foretokenError(code, ...parts));
    expect(device.memory().peak).toBe(peak);
  });

  it('to make a model that does not fit into memory, and names its sizes', () => {
    const before = native.liveTensors();
    const sizes = { hiddenSize: 2 ** 17, numHiddenLayers: 100, numAttentionHeads: 128, vocabSize: 2 ** 20 };
    for (const init of [{ seed: 1 }, {}, { masters: false, dtype: 'bfloat16' }] as const) {
      expect(() => makeHuge(sizes, init)).toThrow(
        foretokenError('OUT_OF_MEMORY', 'parameters', 'hiddenSize 131072', 'numHiddenLayers 100', '1 heads'),
      );
      expect(native.liveTensors()).toBe(before);
    }
  });

  it('a config.json that is nested too deeply, or not UTF-8', async () => {
    const path = join(directory, 'config.json');
    writeFileSync(path, `{"hidden_act": ${'['.repeat(1e5)}${']'.repeat(1e5)}}`);
    await expect(loadModel(device, directory)).rejects.toEqual(
      foretokenError('CORRUPT_FILE', path, 'not JSON', 'nested more than 256 deep'),
    );
    writeFileSync(path, Buffer.from('{"model_type": "ll\xe4ma"}', 'latin1'));
    await expect(loadModel(device, directory)).rejects.toEqual(
      foretokenError('CORRUPT_FILE', path, 'not UTF-8: byte 0xe4 at offset 18'),
    );
  });

  it('a vocabulary smaller than the tokenizer', async () => {
    changeConfig(directory, { vocab_size: 200 });
    await expect(loadModel(device, directory)).rejects.toEqual(foretokenError('INVALID_CONFIG', '200'));
  });

  it('a config.json that is not an object', async () => {
    writeFileSync(join(directory, 'config.json'), '[]');
    await expect(loadModel(device, directory)).rejects.toEqual(
      foretokenError('INVALID_CONFIG', 'config.json'),
    );
  });
});

describe('findModel', () => {
  it('finds a model, or the newest checkpoint of a run', async () => {
    const model = temporary.write('model/config.json', '{}').replace('/config.json', '');
    expect(await findModel(model)).toBe(model);
    const files = ['config.json', 'model.safetensors', 'optimizer.safetensors', 'trainer_state.json'];
    for (const name of ['checkpoint-2', 'checkpoint-10', 'checkpoint-9', 'checkpoint-old'])
      for (const file of files) temporary.write(`run/${name}/${file}`, '{}');
    temporary.write('run/checkpoint-11/config.json', '{}');
    expect(await findModel(temporary.at('run'))).toBe(temporary.at('run/checkpoint-10'));
    expect(await findModel(temporary.at('run'), 'tokenizer.json')).toBe(temporary.at('run/checkpoint-10'));
    const tokenizer = temporary.write('tokenizer/tokenizer.json', '{}').replace('/tokenizer.json', '');
    expect(await findModel(tokenizer, 'tokenizer.json')).toBe(tokenizer);
  });

  it('names a directory that has neither', async () => {
    await expect(findModel(temporary.path)).rejects.toEqual(foretokenError('FILE_ACCESS', temporary.path));
    await expect(findModel(temporary.at('none'))).rejects.toEqual(foretokenError('FILE_ACCESS', 'no such'));
  });
});
