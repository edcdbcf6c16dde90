import { writeFileSync } from 'node:fs';
import { ARCHITECTURES } from '../../../lib/model/gguf/architectures';
import { ggufName } from '../../../lib/model/gguf/names';
import { inPairs, isRotated } from '../../../lib/model/gguf/weights';
import { storedTensors } from '../../../lib/model/pieces';
import { loadModel } from '../../../lib/model/load';
import { Metadata } from '../../../lib/model/gguf/metadata';
import { translateTokenizer } from '../../../lib/model/gguf/tokenizer';
import { Vocabulary } from '../../../lib/model/gguf/vocabulary';
import { GgufFile } from '../../../lib/model/gguf/read';
import { saveGguf, type SaveGgufOptions } from '../../../lib/model/gguf/write';
import type { ModelOptions } from '../../../lib/model/config';
import { MtpModel } from '../../../lib/model/model';
import { createTokenizer, type Tokenizer } from '../../../lib/model/tokenizer';
import { openDevice, type Device } from '../../../lib/tensor/device';
import { foretokenError } from '../../support/errors';
import { FAMILY_MODELS, logitsOf, randomModel } from '../../support/family-models';
import { handmadeGguf, handMetadata, type HandTensor } from '../../support/gguf';
import { Random } from '../../support/random';
import { TemporaryDirectory } from '../../support/temporary';
import { tokenizer } from '../../support/training';
import { byteFallback, byteLevelPairs } from '../tokenizer/examples';

const temporary = new TemporaryDirectory();
let device: Device;
beforeEach(() => (device = openDevice('cpu', { threads: 1, poison: true })));
afterEach(() => device.dispose());

const random = new Random(11);
const tokens = Array.from({ length: 40 }, () => random.integer(256));

describe.each(Object.keys(FAMILY_MODELS))('%s', (name) => {
  it('is the same after it has been written and read', async () => {
    using model = await randomModel(device, FAMILY_MODELS[name]!);
    await saveGguf(temporary.at('model.gguf'), model, tokenizer);
    const loaded = await loadModel(device, temporary.at('model.gguf'));
    using copy = loaded.model;
    expect(await logitsOf(copy, tokens)).toEqual(await logitsOf(model, tokens));
    for (const [i, { value }] of model.parameters.buckets.entries()) {
      expect(await copy.parameters.buckets[i]!.value.data()).toEqual(await value.data());
    }
    // Mistral without a window is Llama.
    const modelType = name === 'mistral' ? 'llama' : model.config.modelType;
    expect(copy.config).toEqual({ ...model.config, modelType, initializerRange: 0.02 });
    expect(loaded.tokenizer.files['tokenizer.json']).toBe(tokenizer.files['tokenizer.json']);
    expect(loaded.tokenizer.eosId).toBe(tokenizer.eosId);
  });
});

describe('types of matrices', () => {
  const write = async (options?: SaveGgufOptions, model?: MtpModel): Promise<MtpModel> => {
    using made = model ?? (await randomModel(device, FAMILY_MODELS.llama!));
    await saveGguf(temporary.at('model.gguf'), made, tokenizer, options);
    return (await loadModel(device, temporary.at('model.gguf'))).model;
  };
  const typesOf = async (): Promise<Set<string>[]> => {
    const file = await GgufFile.open(temporary.at('model.gguf'));
    await file.close();
    const all = [...file.tensors.values()];
    return [1, 2].map(
      (rank) => new Set(all.filter(({ shape }) => shape.length === rank).map(({ type }) => type)),
    );
  };

  it.each([
    ['bfloat16', 'BF16', 2 ** -8],
    ['int8', 'Q8_0', 2 ** -6],
  ] as const)('%s rounds matrices alone', async (dtype, type, tolerance) => {
    using exact = await write();
    using rounded = await write({ dtype });
    expect(await typesOf()).toEqual([new Set(['F32']), new Set([type])]);
    for (const [i, { decay, value }] of exact.parameters.buckets.entries()) {
      const values = (await value.data()) as Float32Array;
      const theirs = (await rounded.parameters.buckets[i]!.value.data()) as Float32Array;
      if (!decay) expect(theirs).toEqual(values);
      const largest = Math.max(...values.map((each, k) => Math.abs(each - theirs[k]!)));
      expect(largest).toBeLessThan(tolerance * (decay ? 1 : Infinity));
    }
  });

  it('is that of the model unless it is given', async () => {
    const options = FAMILY_MODELS.llama!;
    const model = await randomModel(device, options, { dtype: 'bfloat16', masters: false });
    using copy = await write(undefined, model);
    expect(copy.numHeads).toBe(1);
    expect(await typesOf()).toEqual([new Set(['F32']), new Set(['BF16'])]);
  });

  it('cannot be blocks that rows do not divide into', async () => {
    using model = new MtpModel(device, { ...FAMILY_MODELS.llama!, intermediateSize: 72 }, { seed: 1 });
    const saved = saveGguf(temporary.at('model.gguf'), model, tokenizer, { dtype: 'int8' });
    await expect(saved).rejects.toThrow(foretokenError('UNSUPPORTED', 'mlp.down_proj', '72', '32'));
  });

  it('cannot be made from int8', async () => {
    using model = new MtpModel(device, FAMILY_MODELS.llama!, { seed: 1, dtype: 'int8', masters: false });
    const saved = saveGguf(temporary.at('model.gguf'), model, tokenizer);
    await expect(saved).rejects.toThrow(foretokenError('UNSUPPORTED', 'a model in int8'));
  });
});

describe('heads', () => {
  it.each(['parallel', 'recursive'])('of kind %s are left out on demand, else refused', async (kind) => {
    const options = { ...FAMILY_MODELS.llama!, mtp: { kind, numHeads: 3 } };
    using model = await randomModel(device, options);
    const saved = saveGguf(temporary.at('model.gguf'), model, tokenizer);
    await expect(saved).rejects.toThrow(
      foretokenError('UNSUPPORTED', 'heads 2 … 3', `"${kind}"`, 'trunkOnly'),
    );
    await saveGguf(temporary.at('model.gguf'), model, tokenizer, { trunkOnly: true });
    using copy = (await loadModel(device, temporary.at('model.gguf'))).model;
    expect(copy.numHeads).toBe(1);
    expect(await logitsOf(copy, tokens)).toEqual(await logitsOf(model, tokens));
  });
});

/** A tensor as a file has it, in float32. */
interface Stored {
  name: string;
  shape: readonly number[];
  values: Float32Array;
}

/** Writes a model in another way than `saveGguf` does: with more metadata, and with the tensors of all pieces that `change` returns. */
async function saveOtherwise(
  path: string,
  model: MtpModel,
  more: Parameters<typeof handMetadata>[0],
  change: (tensors: Stored[]) => Stored[] = (tensors) => tensors,
): Promise<void> {
  await saveGguf(path, model, tokenizer, { trunkOnly: true });
  const trunk = await GgufFile.open(path);
  await trunk.close();
  const metadata: Record<string, Parameters<typeof handMetadata>[0][string]> = {};
  for (const [key, value] of trunk.metadata) {
    if (typeof value === 'bigint') throw new Error(key);
    metadata[key] = ArrayBuffer.isView(value) ? Array.from<number | bigint, number>(value, Number) : value;
  }
  const architecture = ARCHITECTURES[model.config.modelType]!;
  const stored: Stored[] = [];
  for (const { name, shape, data } of storedTensors(model)) {
    const values = (typeof data === 'function' ? await data() : data) as Float32Array<ArrayBuffer>;
    const isInPairs = architecture.inPairs === true && isRotated(name);
    const ordered = isInPairs ? inPairs(values, shape[0]!, model.config.headDim) : values;
    stored.push({ name: ggufName(name, architecture)!, shape, values: ordered });
  }
  const tensors: HandTensor[] = [];
  const parts: Uint8Array[] = [];
  let offset = 0;
  for (const { name, shape, values } of change(stored)) {
    const bytes = new Uint8Array(Math.ceil(values.byteLength / 32) * 32);
    bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    tensors.push({ name, dims: shape.toReversed(), type: 0, offset });
    parts.push(bytes);
    offset += bytes.length;
  }
  const all = handMetadata({ ...metadata, ...more });
  writeFileSync(path, handmadeGguf({ metadata: all, tensors, data: Buffer.concat(parts) }));
}

async function expectSameParameters(copy: MtpModel, model: MtpModel): Promise<void> {
  expect(copy.parameters.size).toBe(model.parameters.size);
  for (const [i, { value }] of model.parameters.buckets.entries()) {
    expect(await copy.parameters.buckets[i]!.value.data()).toEqual(await value.data());
  }
}

describe('modules that predict further tokens', () => {
  it('become heads of kind recursive', async () => {
    using model = await randomModel(device, {
      ...FAMILY_MODELS.llama!,
      mtp: { kind: 'recursive', numHeads: 2 },
    });
    const layers = model.config.numHiddenLayers + 1;
    await saveOtherwise(temporary.at('model.gguf'), model, {
      ...{ 'llama.block_count': layers, 'llama.nextn_predict_layers': 1 },
    });
    using copy = (await loadModel(device, temporary.at('model.gguf'))).model;
    expect(copy.config.mtp).toEqual({ ...model.config.mtp, numHeads: copy.config.mtp.numHeads });
    expect(copy.numHeads).toBeGreaterThan(1);
    await expectSameParameters(copy, model);
  });
});

describe('one matrix for q, k and v, as llama.cpp’s converter writes it on demand', () => {
  /** Joins the tensors of q, k and v of each layer, in this order. */
  const fused = (tensors: Stored[]): Stored[] =>
    tensors.flatMap(({ name, shape, values }) => {
      if (/attn_[kv]\./.test(name)) return [];
      if (!name.includes('attn_q.')) return [{ name, shape, values }];
      const parts = ['attn_q.', 'attn_k.', 'attn_v.'].map((part) =>
        tensors.find((other) => other.name === name.replace('attn_q.', part))!,
      );
      const rows = parts.reduce((sum, part) => sum + part.shape[0]!, 0);
      const joined = Float32Array.from(parts.flatMap((part) => [...part.values]));
      return [
        { name: name.replace('attn_q.', 'attn_qkv.'), shape: [rows, ...shape.slice(1)], values: joined },
      ];
    });

  it.each(['llama', 'granite', 'qwen2', 'qwen3'])('is read (%s)', async (name) => {
    const attentionBias = name === 'llama';
    using model = await randomModel(device, { ...FAMILY_MODELS[name]!, attentionBias });
    await saveOtherwise(temporary.at('model.gguf'), model, {}, fused);
    using copy = (await loadModel(device, temporary.at('model.gguf'))).model;
    expect(copy.config).toEqual({ ...model.config, initializerRange: 0.02 });
    await expectSameParameters(copy, model);
  });

  it('is read into int8 as the three are', async () => {
    const store = { dtype: 'int8', masters: false } as const;
    using model = await randomModel(device, FAMILY_MODELS.qwen3!);
    await saveGguf(temporary.at('apart.gguf'), model, tokenizer);
    using apart = (await loadModel(device, temporary.at('apart.gguf'), store)).model;
    await saveOtherwise(temporary.at('model.gguf'), model, {}, fused);
    using copy = (await loadModel(device, temporary.at('model.gguf'), store)).model;
    expect(await logitsOf(copy, tokens)).toEqual(await logitsOf(apart, tokens));
  });

  it('is refused if it has too few rows', async () => {
    using model = await randomModel(device, FAMILY_MODELS.qwen3!);
    const cut = (tensors: Stored[]) =>
      fused(tensors).map((tensor) =>
        tensor.name.includes('attn_qkv') ? { ...tensor, shape: [32, tensor.shape[1]!] } : tensor,
      );
    await saveOtherwise(temporary.at('model.gguf'), model, {}, cut);
    await expect(loadModel(device, temporary.at('model.gguf'))).rejects.toThrow(
      foretokenError('CORRUPT_FILE', 'blk.0.attn_qkv.weight', '32 rows', '256'),
    );
  });
});

describe('llama.cpp has no place for', () => {
  type Unusual = [title: string, family: string, options: Partial<ModelOptions>, part: string];
  const unusual: Unusual[] = [
    ['a window in Mistral', 'mistral', { slidingWindow: 16 }, 'a sliding window'],
    ['other layers without positions', 'smollm3', { noRopeLayers: [0, 1, 1, 1, 1] }, 'every fourth'],
    ['positions in all layers of SmolLM3', 'smollm3', { noRopeLayers: null }, 'every fourth'],
    ['wide heads in Qwen2', 'qwen2', { headDim: 32 }, 'heads whose width'],
    ['another scale in Gemma', 'gemma3_text', { queryPreAttnScalar: 16 }, 'width of a head'],
    [
      'scaling in layers with a window',
      'gemma3_text',
      { ropeScaling: { ropeType: 'linear', factor: 8 }, ropeLocalBaseFreq: null },
      'rope scaling in layers with a window',
    ],
    ['biases in Qwen3', 'qwen3', { attentionBias: true }, 'biases'],
    ['one matrix in OLMo', 'olmo2', { tieWordEmbeddings: true }, 'one matrix'],
    [
      'the scaling of Llama 3 in Qwen3',
      'qwen3',
      { ropeScaling: FAMILY_MODELS['llama with biases and scaling of Llama 3']!.ropeScaling },
      'llama3',
    ],
    [
      'the scaling of Llama 3 in SmolLM3',
      'smollm3',
      { ropeScaling: FAMILY_MODELS['llama with biases and scaling of Llama 3']!.ropeScaling },
      'llama3',
    ],
    ...[
      { mscale: 1, mscaleAllDim: 2 },
      { attentionFactor: 1.5 },
      { betaFast: 8 },
      { betaSlow: 0.5 },
      { truncate: false },
    ].map((numbers): Unusual => [
      `${Object.keys(numbers)[0]} of YaRN`,
      'llama',
      { ropeScaling: { ropeType: 'yarn', factor: 4, ...numbers } },
      'yarn',
    ]),
  ];
  it.each(unusual)('%s', async (_, name, more, part) => {
    using model = new MtpModel(device, { ...FAMILY_MODELS[name]!, ...more }, { seed: 1 });
    const saved = saveGguf(temporary.at('model.gguf'), model, tokenizer);
    await expect(saved).rejects.toThrow(foretokenError('UNSUPPORTED', 'llama.cpp has no place for', part));
  });
});

/** Makes the tokenizer from what llama.cpp reads, without the tokenizer.json that foretoken adds. */
async function translatedTokenizer(path: string): Promise<Tokenizer> {
  const file = await GgufFile.open(path);
  await file.close();
  const entries = [...file.metadata].filter(([key]) => key !== 'tokenizer.huggingface.json');
  const metadata = new Metadata(path, new Map(entries));
  return createTokenizer(translateTokenizer(metadata, new Vocabulary(metadata)));
}

it('writes the usual numbers of YaRN, which llama.cpp computes itself', async () => {
  const numbers = { attentionFactor: 0.1 * Math.log(4) + 1, betaFast: 32, betaSlow: 1, truncate: true };
  const ropeScaling = { ropeType: 'yarn', factor: 4, originalMaxPositionEmbeddings: 64 } as const;
  const options = { ...FAMILY_MODELS.llama!, ropeScaling: { ...ropeScaling, ...numbers } };
  using model = await randomModel(device, options);
  await saveGguf(temporary.at('model.gguf'), model, tokenizer);
  using copy = (await loadModel(device, temporary.at('model.gguf'))).model;
  expect(copy.config.ropeScaling).toEqual(ropeScaling);
  expect(await logitsOf(copy, tokens)).toEqual(await logitsOf(model, tokens));
});

describe('tokenizers', () => {
  const text = 'hello wé 😀 ab  ba, 3 times';
  const config = { bos_token: '<s>', eos_token: '</s>', chat_template: '{{ messages[0].content }}' };
  const words = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  const files = {
    'like GPT-2': { 'tokenizer.json': JSON.stringify({ ...byteLevelPairs(), pre_tokenizer: words }) },
    'like Llama 2': {
      'tokenizer.json': JSON.stringify(byteFallback()),
      'tokenizer_config.json': JSON.stringify(config),
    },
  };

  it('that split words in another way are refused', async () => {
    using model = new MtpModel(device, { ...FAMILY_MODELS.llama!, vocabSize: 300 }, { seed: 1 });
    const own = createTokenizer({ 'tokenizer.json': JSON.stringify(byteLevelPairs()) });
    const saved = saveGguf(temporary.at('model.gguf'), model, own);
    await expect(saved).rejects.toThrow(foretokenError('UNSUPPORTED', 'pre-tokenizer'));
  });

  it.each(Object.keys(files) as (keyof typeof files)[])(
    '%s is the same in the words of llama.cpp',
    async (name) => {
      const own = createTokenizer(files[name]);
      const options = { ...FAMILY_MODELS.llama!, vocabSize: 300, bosTokenId: null, eosTokenIds: [] };
      using model = new MtpModel(device, options, { seed: 1 });
      await saveGguf(temporary.at('model.gguf'), model, own);
      const whole = (await loadModel(device, temporary.at('model.gguf'))).tokenizer;
      expect(whole.files['tokenizer.json']).toBe(own.files['tokenizer.json']);
      expect([...whole.encode(text)]).toEqual([...own.encode(text)]);
      const translated = await translatedTokenizer(temporary.at('model.gguf'));
      expect([...translated.encode(text)]).toEqual([...own.encode(text)]);
      expect(translated.decode(translated.encode(text))).toBe(own.decode(own.encode(text)));
      expect(translated.bosId).toBe(own.bosId);
      expect(translated.eosId).toBe(own.eosId);
      const written = JSON.parse(translated.files['tokenizer_config.json']!) as { chat_template?: string };
      expect(written.chat_template).toBe(name === 'like Llama 2' ? config.chat_template : undefined);
    },
  );
});
