// The layers, names and norms of Qwen3.5, and how queries and gates are taken apart and put together.
import { readFileSync, writeFileSync } from 'node:fs';
import { headLayerConfig, layerConfig, modelConfig, type ModelOptions } from '../../../lib/model/config';
import { configToJson } from '../../../lib/model/config-json';
import { withUsualNames } from '../../../lib/model/huggingface/names';
import { offsetsOf } from '../../../lib/model/load';
import { moduleLayout } from '../../../lib/model/mtp-layouts';
import { withGatesApart, withGatesTogether } from '../../../lib/model/query-gates';
import { readSafetensors, writeSafetensors, type NamedTensor } from '../../../lib/model/safetensors';
import type { WeightSource } from '../../../lib/model/weight-source';
import { foretokenError } from '../../support/errors';
import { Random } from '../../support/random';
import { TemporaryDirectory } from '../../support/temporary';

const temporary = new TemporaryDirectory();

const OPTIONS: ModelOptions = {
  ...{ modelType: 'qwen3_5_text', vocabSize: 260, hiddenSize: 16, numHiddenLayers: 4 },
  ...{ numAttentionHeads: 3, numKeyValueHeads: 1, headDim: 8, partialRotaryFactor: 0.25 },
  ...{ linearNumKeyHeads: 2, linearNumValueHeads: 6, linearKeyHeadDim: 16, linearValueHeadDim: 32 },
  ...{ linearConvKernelDim: 3, mtp: { kind: 'recursive', numHeads: 2 } },
  layerTypes: ['linear_attention', 'full_attention', 'full_attention', 'linear_attention'],
};
const config = modelConfig(OPTIONS);
const QWEN3: ModelOptions = {
  ...{ modelType: 'qwen3', vocabSize: 260, hiddenSize: 16, numHiddenLayers: 4, numAttentionHeads: 4 },
};

describe('layers', () => {
  const recurrent = { keyHeads: 2, valueHeads: 6, keyDim: 16, valueDim: 32, taps: 3 };

  test('are gated delta nets or attend, with a gate, norms of heads and a rotated quarter', () => {
    const blocks = [0, 1, 2, 3].map((layer) => layerConfig(config, layer));
    expect(blocks.map(({ block }) => block.recurrent)).toEqual([recurrent, null, null, recurrent]);
    expect(blocks[1]!.block).toMatchObject({
      outputGate: true,
      qkNorm: 'head',
      window: null,
      qkvBias: false,
    });
    expect(blocks[1]!.rope).toMatchObject({ rotatedDim: 2 });
  });

  test('of heads attend, although the last layer of the trunk does not', () => {
    const { block, rope } = headLayerConfig(config);
    expect(block).toMatchObject({ outputGate: true, qkNorm: 'head', recurrent: null });
    expect(rope).toMatchObject({ rotatedDim: 2 });
  });

  test('other families have neither', () => {
    const { block } = layerConfig(modelConfig(QWEN3), 0);
    expect(block).toMatchObject({ outputGate: false, recurrent: null });
  });
});

test('modules have the names of published checkpoints', () => {
  expect(moduleLayout(config, 0)).toEqual({
    ...{ prefix: 'mtp.', tokenNorm: 'pre_fc_norm_embedding', stateNorm: 'pre_fc_norm_hidden' },
    ...{ projection: 'fc', block: 'layers.0.', norm: 'norm', stateFirst: false },
  });
  expect(configToJson(config, 'bfloat16')).toMatchObject({
    ...{ architectures: ['Qwen3_5ForCausalLM'], model_type: 'qwen3_5_text', mtp_num_hidden_layers: 1 },
    ...{ layer_types: config.layerTypes, partial_rotary_factor: 0.25, linear_conv_kernel_dim: 3 },
  });
  const trunk = modelConfig({ ...OPTIONS, mtp: { kind: 'parallel', numHeads: 1 } });
  expect(configToJson(trunk, 'bfloat16')).toMatchObject({ mtp_num_hidden_layers: 0 });
});

test('norms hold w for 1 + w, those of modules, too, but not those in gated delta nets', () => {
  const offsets = offsetsOf(config);
  const norms = [
    ...['model.norm', 'model.layers.0.input_layernorm', 'model.layers.1.post_attention_layernorm'],
    ...['model.layers.1.self_attn.q_norm', 'model.layers.1.self_attn.k_norm', 'mtp.norm'],
    ...['mtp.pre_fc_norm_embedding', 'mtp.pre_fc_norm_hidden', 'mtp.layers.0.self_attn.q_norm'],
  ];
  for (const name of norms) expect([name, offsets(`${name}.weight`)]).toEqual([name, 1]);
  const others = [
    ...['model.layers.0.linear_attn.norm.weight', 'model.layers.0.linear_attn.conv1d.weight'],
    ...['model.layers.0.linear_attn.A_log', 'mtp.fc.weight', 'model.embed_tokens.weight'],
  ];
  for (const name of others) expect([name, offsets(name)]).toEqual([name, 0]);
  // GGUF files hold 1 + w; heads of other kinds are foretoken's own.
  expect(offsetsOf(config, true)('mtp.norm.weight')).toBe(0);
  const medusa = modelConfig({ ...OPTIONS, mtp: { kind: 'medusa', numHeads: 2 } });
  expect(offsetsOf(medusa)('mtp.heads.2.norm.weight')).toBe(0);
});

/** Writes tensors and opens the file. */
async function opened(tensors: readonly NamedTensor[]): Promise<WeightSource> {
  await writeSafetensors(temporary.at('model.safetensors'), tensors);
  return readSafetensors(temporary.at('model.safetensors'));
}

describe('names', () => {
  const tensor = (name: string, value = 0): NamedTensor => ({
    ...{ name, dtype: 'F32', shape: [1], data: Float32Array.of(value) },
  });
  const usual = [
    ...[
      'lm_head.weight',
      'model.embed_tokens.weight',
      'model.layers.0.linear_attn.A_log',
      'model.norm.weight',
    ],
    ...['mtp.fc.weight', 'mtp.layers.0.self_attn.q_proj.weight', 'mtp.norm.weight'],
  ];

  test.each<[string, boolean, (name: string) => string]>([
    ['of a multimodal model', true, (name) => name.replace('model.', 'model.language_model.')],
    ['of the text model', false, (name) => name],
    ['in a wrapper', false, (name) => `_orig_mod.${name}`],
  ])('%s', async (_, isPart, rename) => {
    const others = isPart ? ['model.visual.blocks.0.norm1.weight', 'model.visual.merger.norm.weight'] : [];
    const file = await opened([...usual.map(rename), ...others].map((name) => tensor(name)));
    expect([...withUsualNames(file, isPart, 'mtp.').names].sort()).toEqual(usual);
    await file.close();
  });

  test('although the module has an embedding, which has the shorter name', async () => {
    const all = [...usual, 'mtp.embed_tokens.weight'].sort();
    const file = await opened(all.map((name) => tensor(name.replace(/^model\./, 'model.language_model.'))));
    expect([...withUsualNames(file, true, 'mtp.').names].sort()).toEqual(all);
    await file.close();
  });
});

describe('queries and gates', () => {
  const [heads, dim, width] = [3, 8, 5];
  const rows = 2 * heads * dim;
  const random = new Random(3);
  const values = Float32Array.from(random.floats(rows * width));
  const biases = Float32Array.from({ length: rows }, (_, i) => i);
  const name = 'model.layers.1.self_attn.q_proj.weight';
  const gate = 'model.layers.1.self_attn.q_gate.weight';
  const tensors: NamedTensor[] = [
    { name, dtype: 'F32', shape: [rows, width], data: values },
    { name: 'mtp.layers.0.self_attn.q_proj.bias', dtype: 'F32', shape: [rows], data: biases },
    {
      ...{ name: 'model.layers.1.self_attn.k_proj.weight', dtype: 'BF16', shape: [2, 2] },
      data: Uint16Array.of(1, 2, 3, 4),
    },
  ];
  /** The rows of all heads' first or second halves. */
  const half = (all: Float32Array, of: number, which: number): number[] =>
    [...all].filter((_, i) => Math.floor(Math.floor(i / of) / dim) % 2 === which);

  test('lie one after the other for each head of a file, and apart in a model', async () => {
    const file = await opened(tensors);
    const apart = withGatesApart(file, config);
    expect([...apart.names].sort()).toEqual([
      'model.layers.1.self_attn.k_proj.weight',
      ...[gate, name, 'mtp.layers.0.self_attn.q_gate.bias', 'mtp.layers.0.self_attn.q_proj.bias'],
    ]);
    for (const [each, which] of [
      [name, 0],
      [gate, 1],
    ] as const) {
      expect(apart.has(each)).toBe(true);
      expect(apart.info(each)).toEqual({ dtype: 'F32', shape: [heads * dim, width] });
      expect([...((await apart.read(each)) as Float32Array)]).toEqual(half(values, width, which));
      // Pieces that end within heads, at their ends and behind several.
      const reader = apart.rows(each);
      const read: number[] = [];
      for (const count of [3, 5, 1, 0, 12, 3]) read.push(...((await reader.next(count)) as Float32Array));
      expect(read).toEqual(half(values, width, which));
    }
    expect([...((await apart.read('mtp.layers.0.self_attn.q_gate.bias')) as Float32Array)]).toEqual(
      half(biases, 1, 1),
    );
    expect(await apart.read('model.layers.1.self_attn.k_proj.weight')).toEqual(Uint16Array.of(1, 2, 3, 4));
    expect(apart.has('model.layers.2.self_attn.q_gate.weight')).toBe(false);
    await apart.close();
  });

  test('come together again as they were', async () => {
    const file = await opened(tensors);
    const apart = withGatesApart(file, config);
    const parts = apart.names.map((each): NamedTensor => ({
      ...{ name: each, ...apart.info(each), data: () => apart.read(each) },
    }));
    const together = withGatesTogether(parts, config);
    expect(together.map((each) => each.name)).toEqual(file.names);
    for (const { name: each, shape, dtype, data } of together) {
      expect({ shape, dtype }).toEqual(file.info(each));
      expect(await (data as () => Promise<unknown>)()).toEqual(await file.read(each));
    }
    await file.close();
  });

  test('of a family without gates are queries alone', async () => {
    const file = await opened(tensors);
    expect(withGatesApart(file, modelConfig(QWEN3))).toBe(file);
    await file.close();
  });

  test('a tensor without gates is refused by its rows', async () => {
    const file = await opened([
      { name, dtype: 'F32', shape: [heads * dim, width], data: values.slice(0, heads * dim * width) },
    ]);
    expect(() => withGatesApart(file, config)).toThrow(
      foretokenError('CORRUPT_FILE', `tensor "${name}"`, '[24, 5]', '3 heads', '48 rows'),
    );
    await file.close();
  });

  test('a damaged gate is found when queries are read', async () => {
    const file = await opened(tensors.slice(0, 1));
    const path = temporary.at('model.safetensors');
    await file.close();
    const bytes = readFileSync(path);
    bytes[bytes.length - 1]! ^= 1; // of the last gate
    writeFileSync(path, bytes);
    const damaged = await readSafetensors(path);
    await expect(withGatesApart(damaged, config).read(name)).rejects.toEqual(
      foretokenError('CORRUPT_FILE', name, 'checksum'),
    );
    await damaged.close();
  });
});
