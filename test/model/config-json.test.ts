import { modelConfig, type LayerType, type ModelConfig, type ModelOptions } from '../../lib/model/config';
import { configFromJson, configToJson } from '../../lib/model/config-json';
import { foretokenError } from '../support/errors';

// config.json of real models, as published.
const llama2 = {
  _name_or_path: 'meta-llama/Llama-2-7b-hf',
  architectures: ['LlamaForCausalLM'],
  bos_token_id: 1,
  eos_token_id: 2,
  hidden_act: 'silu',
  hidden_size: 4096,
  initializer_range: 0.02,
  intermediate_size: 11008,
  max_position_embeddings: 4096,
  model_type: 'llama',
  num_attention_heads: 32,
  num_hidden_layers: 32,
  num_key_value_heads: 32,
  pretraining_tp: 1,
  rms_norm_eps: 1e-5,
  rope_scaling: null,
  tie_word_embeddings: false,
  torch_dtype: 'float16',
  transformers_version: '4.31.0.dev0',
  use_cache: true,
  vocab_size: 32000,
};
const llama3 = {
  architectures: ['LlamaForCausalLM'],
  attention_bias: false,
  attention_dropout: 0,
  bos_token_id: 128000,
  eos_token_id: 128001,
  hidden_act: 'silu',
  hidden_size: 4096,
  initializer_range: 0.02,
  intermediate_size: 14336,
  max_position_embeddings: 8192,
  mlp_bias: false,
  model_type: 'llama',
  num_attention_heads: 32,
  num_hidden_layers: 32,
  num_key_value_heads: 8,
  pretraining_tp: 1,
  rms_norm_eps: 1e-5,
  rope_scaling: null,
  rope_theta: 500000,
  tie_word_embeddings: false,
  torch_dtype: 'bfloat16',
  transformers_version: '4.40.0.dev0',
  use_cache: true,
  vocab_size: 128256,
};
const smolLm2 = {
  architectures: ['LlamaForCausalLM'],
  attention_bias: false,
  attention_dropout: 0,
  bos_token_id: 1,
  eos_token_id: 2,
  hidden_act: 'silu',
  hidden_size: 576,
  initializer_range: 0.041666666666666664,
  intermediate_size: 1536,
  is_llama_config: true,
  max_position_embeddings: 8192,
  mlp_bias: false,
  model_type: 'llama',
  num_attention_heads: 9,
  num_hidden_layers: 30,
  num_key_value_heads: 3,
  pad_token_id: 2,
  pretraining_tp: 1,
  rms_norm_eps: 1e-5,
  rope_interleaved: false,
  rope_scaling: null,
  rope_theta: 100000,
  tie_word_embeddings: true,
  torch_dtype: 'bfloat16',
  'transformers.js_config': { kv_cache_dtype: { q4f16: 'float16', fp16: 'float16' } },
  transformers_version: '4.42.3',
  use_cache: true,
  vocab_size: 49152,
};
const qwen25 = {
  architectures: ['Qwen2ForCausalLM'],
  attention_dropout: 0,
  bos_token_id: 151643,
  eos_token_id: 151643,
  hidden_act: 'silu',
  hidden_size: 896,
  initializer_range: 0.02,
  intermediate_size: 4864,
  max_position_embeddings: 32768,
  max_window_layers: 24,
  model_type: 'qwen2',
  num_attention_heads: 14,
  num_hidden_layers: 24,
  num_key_value_heads: 2,
  rms_norm_eps: 1e-6,
  rope_theta: 1000000,
  sliding_window: 32768,
  tie_word_embeddings: true,
  torch_dtype: 'bfloat16',
  transformers_version: '4.40.1',
  use_cache: true,
  use_mrope: false,
  use_sliding_window: false,
  vocab_size: 151936,
};
/** config.json of Qwen3 as transformers 5 writes it. */
const qwen3 = {
  architectures: ['Qwen3ForCausalLM'],
  attention_bias: false,
  attention_dropout: 0,
  bos_token_id: 151643,
  dtype: 'bfloat16',
  eos_token_id: [151645, 151643],
  head_dim: 128,
  hidden_act: 'silu',
  hidden_size: 1024,
  initializer_range: 0.02,
  intermediate_size: 3072,
  layer_types: new Array<string>(28).fill('full_attention'),
  max_position_embeddings: 40960,
  max_window_layers: 28,
  model_type: 'qwen3',
  num_attention_heads: 16,
  num_hidden_layers: 28,
  num_key_value_heads: 8,
  pad_token_id: null,
  rms_norm_eps: 1e-6,
  rope_parameters: { rope_theta: 1000000, rope_type: 'default' },
  sliding_window: null,
  tie_word_embeddings: true,
  transformers_version: '5.0.0',
  use_cache: true,
  use_sliding_window: false,
  vocab_size: 151936,
};

const mistral = {
  architectures: ['MistralForCausalLM'],
  bos_token_id: 1,
  eos_token_id: 2,
  hidden_act: 'silu',
  hidden_size: 4096,
  initializer_range: 0.02,
  intermediate_size: 14336,
  max_position_embeddings: 32768,
  model_type: 'mistral',
  num_attention_heads: 32,
  num_hidden_layers: 32,
  num_key_value_heads: 8,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  sliding_window: 4096,
  tie_word_embeddings: false,
  torch_dtype: 'bfloat16',
  transformers_version: '4.34.0.dev0',
  use_cache: true,
  vocab_size: 32000,
};
/** Without the list of its layers, and fewer of them. */
const smolLm3 = {
  architectures: ['SmolLM3ForCausalLM'],
  attention_bias: false,
  eos_token_id: 128012,
  hidden_size: 2048,
  intermediate_size: 11008,
  max_window_layers: 28,
  mlp_bias: false,
  model_type: 'smollm3',
  no_rope_layer_interval: 4,
  num_hidden_layers: 8,
  pretraining_tp: 2,
  rope_scaling: null,
  rope_theta: 5000000,
  sliding_window: null,
  use_sliding_window: false,
};
/** A multimodal model's file, which names only what differs from the defaults; with fewer layers. */
const gemma3 = {
  architectures: ['Gemma3ForConditionalGeneration'],
  boi_token_index: 255999,
  eos_token_id: [1, 106],
  model_type: 'gemma3',
  text_config: {
    ...{ hidden_size: 2560, intermediate_size: 10240, model_type: 'gemma3_text', num_hidden_layers: 8 },
    rope_scaling: { factor: 8, rope_type: 'linear' },
    sliding_window: 1024,
  },
  vision_config: { hidden_size: 1152 },
};

const qwen35Text = {
  attention_bias: false,
  attention_dropout: 0,
  attn_output_gate: true,
  bos_token_id: null,
  dtype: 'bfloat16',
  eos_token_id: 248044,
  full_attention_interval: 4,
  head_dim: 256,
  hidden_act: 'silu',
  hidden_size: 2560,
  initializer_range: 0.02,
  intermediate_size: 9216,
  layer_types: Array.from({ length: 32 }, (_, i): LayerType =>
    i % 4 === 3 ? 'full_attention' : 'linear_attention',
  ),
  linear_conv_kernel_dim: 4,
  linear_key_head_dim: 128,
  linear_num_key_heads: 16,
  linear_num_value_heads: 32,
  linear_value_head_dim: 128,
  mamba_ssm_dtype: 'float32',
  max_position_embeddings: 262144,
  mlp_only_layers: [],
  model_type: 'qwen3_5_text',
  mtp_num_hidden_layers: 1,
  mtp_use_dedicated_embeddings: false,
  num_attention_heads: 16,
  num_hidden_layers: 32,
  num_key_value_heads: 4,
  rms_norm_eps: 1e-6,
  rope_parameters: {
    mrope_interleaved: true,
    mrope_section: [11, 11, 10],
    partial_rotary_factor: 0.25,
    rope_theta: 10000000,
    rope_type: 'default',
  },
  tie_word_embeddings: true,
  use_cache: true,
  vocab_size: 248320,
};
/** A multimodal model's file. */
const qwen35 = {
  architectures: ['Qwen3_5ForConditionalGeneration'],
  image_token_id: 248056,
  model_type: 'qwen3_5',
  text_config: qwen35Text,
  tie_word_embeddings: true,
  transformers_version: '4.57.0.dev0',
  video_token_id: 248057,
  vision_config: { depth: 24, hidden_size: 1024, model_type: 'qwen3_5', out_hidden_size: 2560 },
  vision_end_token_id: 248054,
  vision_start_token_id: 248053,
};

describe('reads files of other programs', () => {
  it.each<[string, object, Partial<ModelConfig>]>([
    ['Llama 2', llama2, { modelType: 'llama', ropeTheta: 10000, headDim: 128, eosTokenIds: [2] }],
    ['Llama 3', llama3, { ropeTheta: 500000, numKeyValueHeads: 8, maxPositionEmbeddings: 8192 }],
    ['SmolLM2', smolLm2, { ropeTheta: 100000, headDim: 64, tieWordEmbeddings: true }],
    ['Qwen2.5', qwen25, { modelType: 'qwen2', ropeTheta: 1000000, rmsNormEps: 1e-6, headDim: 64 }],
    [
      'Llama 3.2',
      {
        ...llama3,
        rope_scaling: {
          ...{ factor: 32, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 },
          rope_type: 'llama3',
        },
        eos_token_id: [128001, 128008, 128009],
      },
      {
        ropeScaling: {
          ...{ ropeType: 'llama3', factor: 32, lowFreqFactor: 1, highFreqFactor: 4 },
          originalMaxPositionEmbeddings: 8192,
        },
        eosTokenIds: [128001, 128008, 128009],
      },
    ],
    ['Mistral', mistral, { slidingWindow: 4096, layerTypes: null, numKeyValueHeads: 8, rmsNormEps: 1e-5 }],
    ['Mistral 0.3', { ...mistral, sliding_window: null }, { slidingWindow: null }],
    [
      'SmolLM3',
      smolLm3,
      {
        noRopeLayers: [1, 1, 1, 0, 1, 1, 1, 0],
        tieWordEmbeddings: true,
        slidingWindow: null,
        ropeTheta: 5e6,
      },
    ],
    [
      'Gemma 3, with defaults of its class',
      gemma3,
      {
        ...{
          modelType: 'gemma3_text',
          numAttentionHeads: 8,
          numKeyValueHeads: 4,
          headDim: 256,
          vocabSize: 262208,
        },
        ...{ slidingWindow: 1024, ropeTheta: 1e6, ropeLocalBaseFreq: 1e4, tieWordEmbeddings: true },
        ropeScaling: { ropeType: 'linear', factor: 8 },
        layerTypes: [0, 1, 2, 3, 4, 5, 6, 7].map((i) => (i === 5 ? 'full_attention' : 'sliding_attention')),
        eosTokenIds: [1, 106],
      },
    ],
    [
      'Qwen3.5 4B',
      qwen35,
      {
        ...{ modelType: 'qwen3_5_text', hiddenSize: 2560, headDim: 256, tieWordEmbeddings: true },
        ...{ ropeTheta: 1e7, ropeScaling: null, partialRotaryFactor: 0.25, eosTokenIds: [248044] },
        ...{ linearNumKeyHeads: 16, linearNumValueHeads: 32, linearKeyHeadDim: 128, linearValueHeadDim: 128 },
        ...{ linearConvKernelDim: 4, layerTypes: qwen35Text.layer_types },
      },
    ],
    [
      'Qwen3.5, the text model alone, with defaults of its class',
      {
        ...{ architectures: ['Qwen3_5ForCausalLM'], model_type: 'qwen3_5_text', output_gate_type: 'swish' },
        ...{ num_hidden_layers: 6, full_attention_interval: 3 },
        rope_parameters: {
          ...{ rope_type: 'yarn', rope_theta: 1e7, factor: 4, original_max_position_embeddings: 262144 },
          ...{ mrope_section: [11, 11, 10], mrope_interleaved: true },
        },
      },
      {
        ...{ vocabSize: 248320, hiddenSize: 4096, headDim: 256, numKeyValueHeads: 4, rmsNormEps: 1e-6 },
        ...{ linearNumKeyHeads: 16, linearNumValueHeads: 32, linearKeyHeadDim: 128, linearValueHeadDim: 128 },
        ...{ linearConvKernelDim: 4, partialRotaryFactor: 0.25, tieWordEmbeddings: false },
        ropeScaling: { ropeType: 'yarn', factor: 4, originalMaxPositionEmbeddings: 262144 },
        layerTypes: [0, 1, 2, 3, 4, 5].map((i) => (i % 3 === 2 ? 'full_attention' : 'linear_attention')),
      },
    ],
    [
      'Qwen3.5 whose file does not list its layers',
      { model_type: 'qwen3_5_text', num_hidden_layers: 5 },
      { layerTypes: [0, 1, 2, 3, 4].map((i) => (i === 3 ? 'full_attention' : 'linear_attention')) },
    ],
    [
      'Qwen3.5 without gated delta nets',
      { ...qwen35Text, layer_types: new Array<string>(32).fill('full_attention') },
      { layerTypes: null },
    ],
    ['Qwen3', qwen3, { modelType: 'qwen3', ropeTheta: 1000000, headDim: 128, eosTokenIds: [151645, 151643] }],
  ])('%s', (_, json, expected) => {
    expect(configFromJson({ ...json })).toMatchObject(expected);
  });

  it('with either spelling of the base of the rotary angles, and with both', () => {
    const { rope_theta, ...without } = llama3;
    for (const json of [
      { ...without, rope_theta },
      { ...without, rope_parameters: { rope_theta, rope_type: 'default' } },
      { ...without, rope_parameters: { rope_theta } },
      { ...without, rope_theta: null, rope_parameters: { rope_theta, partial_rotary_factor: 1 } },
      { ...without, rope_scaling: { rope_theta, rope_type: 'default', type: 'default', factor: null } },
      { ...without, rope_theta, rope_parameters: { rope_theta, rope_type: 'default' }, rope_scaling: null },
    ]) {
      expect(configFromJson(json).ropeTheta).toBe(500000);
    }
    expect(configFromJson({ ...without, rope_parameters: { rope_type: 'default' } }).ropeTheta).toBe(10000);
  });

  it('with the epsilon of transformers, if the file has none', () => {
    const { rms_norm_eps: _, ...without } = llama3;
    expect(configFromJson(without).rmsNormEps).toBe(1e-6);
  });

  it('with null for any key as if the key were missing', () => {
    const plain = configFromJson(llama3);
    for (const name of [
      'head_dim',
      'mtp',
      'layer_types',
      'quantization_config',
      'use_sliding_window',
      'new',
    ]) {
      expect(configFromJson({ ...llama3, [name]: null })).toEqual(plain);
    }
  });
});

describe('refuses what may change numbers', () => {
  it.each<[object, string[]]>([
    [{ hidden_act: 'gelu' }, ['config.json: llama: hidden_act must be "silu" or "swish"', '"gelu"']],
    [{ mlp_bias: true }, ['mlp_bias must be false', 'true']],
    [{ use_mrope: true }, ['use_mrope must be false']],
    [{ rope_interleaved: true }, ['rope_interleaved must be false']],
    [{ partial_rotary_factor: 0.5 }, ['llama: partial_rotary_factor must be 1', '0.5']],
    [{ quantization_config: { bits: 4 } }, ['quantization_config is not known', 'an object']],
    [{ is_causal: false }, ['is_causal is not known', 'given: false']],
    [{ logits_scaling: 8 }, ['logits_scaling is not known', '8']],
    [{ constructor: 1 }, ['constructor is not known']],
    [{ use_sliding_window: true }, ['use_sliding_window must be false']],
    [{ use_sliding_window: true, sliding_window: 4096 }, ['use_sliding_window must be false']],
    [{ sliding_window: 4096 }, ['sliding_window must be null', '4096']],
    [{ layer_types: ['full_attention'] }, ['layer_types has 1 elements', '32']],
    [{ layer_types: new Array(32).fill('sliding_attention') }, ['layer_types', '"sliding_attention"']],
    [{ layer_types: new Array(32).fill('linear_attention') }, ['layer_types[0]', '"linear_attention"']],
    [{ layer_types: 'full_attention' }, ['layer_types must be an array', '"full_attention"']],
    [
      { rope_scaling: { type: 'dynamic', factor: 2 } },
      ['rope_scaling.type must be one of', 'yarn', '"dynamic"'],
    ],
    [{ rope_scaling: { rope_type: 'longrope' } }, ['rope_scaling.rope_type', '"longrope"']],
    [{ rope_scaling: { type: 'linear' } }, ['rope_scaling.factor is missing']],
    [{ rope_scaling: { type: 'linear', factor: '2' } }, ['rope_scaling.factor must be a number', '"2"']],
    [{ rope_scaling: { type: 'linear', factor: 2, beta_fast: 3 } }, ['rope_scaling.beta_fast is not known']],
    [
      { rope_scaling: { type: 'linear', rope_type: 'yarn', factor: 2 } },
      ['type is "linear"', 'rope_type is "yarn"'],
    ],
    [{ rope_scaling: { rope_type: 'llama3', factor: 8 } }, ['rope_scaling.low_freq_factor is missing']],
    [{ rope_scaling: { type: 'mrope', mrope_section: [1] } }, ['rope_scaling.type', '"mrope"']],
    [{ rope_scaling: { mrope_section: [1] } }, ['rope_scaling.mrope_section is not known']],
    [{ rope_theta: { __float__: 'Infinity' } }, ['rope_theta must be a number', 'Infinity']],
    [{ architectures: ['LlamaForCausalLMEagle3'] }, ['llama: architectures', '"LlamaForCausalLM"', 'Eagle3']],
    [{ eos_token_id: '2' }, ['eos_token_id', '"2"']],
    [{ eos_token_id: [1, -2] }, ['eos_token_id[1]', '-2']],
    [{ rope_parameters: { rope_theta: 1e6 } }, ['rope_parameters.rope_theta is 1000000', '500000']],
    [
      { rope_parameters: { partial_rotary_factor: 0.25 } },
      ['llama: partial_rotary_factor must be 1', '0.25'],
    ],
    [{ rope_parameters: { full_attention: 3 } }, ['rope_parameters.full_attention must be an object']],
    [{ rope_parameters: [1] }, ['rope_parameters must be an object', '[1]']],
    [{ rope_parameters: { rope_theta: '1e4' } }, ['rope_parameters.rope_theta must be a number', '"1e4"']],
    [{ mtp: { kind: 'parallel', num_heads: 2, shared: true } }, ['mtp.shared is not known']],
    [{ mtp: 'parallel' }, ['mtp must be an object', '"parallel"']],
    [{ model_type: 'mistral' }, ['mistral: architectures', '"MistralForCausalLM"']],
    [{ model_type: 'gpt_oss' }, ['config.json: model_type must be one of llama', '"gpt_oss"']],
    [{ vocab_size: null }, ['vocab_size is missing']],
    [{ tie_word_embeddings: 'yes' }, ['tie_word_embeddings must be true or false', '"yes"']],
  ])('%j', (change, parts) => {
    expect(() => configFromJson({ ...llama3, ...change })).toThrow(
      foretokenError('INVALID_CONFIG', ...parts),
    );
  });
});

describe('refuses what gated delta nets cannot be', () => {
  it.each<[object, string[]]>([
    [{ linear_key_head_dim: 24 }, ['linear_key_head_dim', 'a multiple of 16 from 16 to 256', '24']],
    [{ linear_value_head_dim: 272 }, ['linear_value_head_dim', 'a multiple of 16 from 16 to 256', '272']],
    [{ linear_conv_kernel_dim: 9 }, ['linear_conv_kernel_dim', 'an integer from 2 to 8', '9']],
    [{ linear_conv_kernel_dim: 1 }, ['linear_conv_kernel_dim', 'an integer from 2 to 8', '1']],
    [{ linear_num_key_heads: 2048 }, ['linear_num_key_heads', 'an integer from 1 to 1024', '2048']],
    [
      { linear_num_key_heads: 12 },
      ['linear_num_value_heads (32) must be a multiple of linear_num_key_heads (12)'],
    ],
    [{ linear_num_value_heads: null }, ['"linear_attention"', 'linear_num_value_heads is null']],
    [{ layer_types: ['linear_attention'] }, ['layer_types has 1 elements', '32']],
    [
      { layer_types: new Array(32).fill('sliding_attention') },
      ['layer_types[0] must be one of full_attention, linear_attention', '"sliding_attention"'],
    ],
    [{ full_attention_interval: 0 }, ['full_attention_interval', 'at least 1', '0']],
    [{ attn_output_gate: false }, ['attn_output_gate must be true', 'false']],
    [{ output_gate_type: 'sigmoid' }, ['output_gate_type', '"swish"', '"sigmoid"']],
    [{ hidden_act: 'gelu' }, ['hidden_act must be "silu"', '"gelu"']],
    [{ rope_parameters: { rope_theta: 1e7, axes: 3 } }, ['rope_parameters.axes is not known']],
    [{ num_experts: 64 }, ['num_experts is not known']],
    [{ architectures: ['Qwen3_5ForSequenceClassification'] }, ['architectures', '"Qwen3_5ForCausalLM"']],
  ])('%j', (change, parts) => {
    expect(() => configFromJson({ ...qwen35Text, ...change })).toThrow(
      foretokenError('INVALID_CONFIG', 'config.json: qwen3_5_text: ', ...parts),
    );
  });

  const sizes = { vocabSize: 100, hiddenSize: 64, numHiddenLayers: 2, numAttentionHeads: 4 };
  const layerTypes = ['linear_attention', 'full_attention'] as const;

  it.each<[Partial<ModelOptions>, string[]]>([
    [{ layerTypes }, ['layerTypes must be null in a llama']],
    [{ modelType: 'qwen3', layerTypes }, ['layerTypes must not have "linear_attention" in a qwen3']],
    [{ modelType: 'qwen3', linearKeyHeadDim: 16 }, ['linearKeyHeadDim must be null in a qwen3', '16']],
    [{ modelType: 'qwen3_5_text', layerTypes }, ['"linear_attention"', 'linearNumKeyHeads is null']],
    [
      { modelType: 'qwen3_5_text', layerTypes: ['sliding_attention', 'full_attention'] },
      ['layerTypes has "sliding_attention", but slidingWindow is null'],
    ],
  ])('options %j', (options, parts) => {
    expect(() => modelConfig({ ...sizes, ...options })).toThrow(foretokenError('INVALID_CONFIG', ...parts));
  });
});

it.each<[string, Partial<ModelOptions>]>([
  ['defaults', {}],
  [
    'gated delta nets, and modules',
    {
      ...{ modelType: 'qwen3_5_text', layerTypes: ['linear_attention', 'full_attention'] },
      ...{ linearNumKeyHeads: 2, linearNumValueHeads: 4, linearKeyHeadDim: 16, linearValueHeadDim: 32 },
      ...{ linearConvKernelDim: 3, partialRotaryFactor: 0.25, mtp: { kind: 'recursive', numHeads: 3 } },
    },
  ],
  ['a family with gated delta nets, without any', { modelType: 'qwen3_5_text' }],
  ['everything else', { modelType: 'qwen2', ropeTheta: 1e6, tieWordEmbeddings: true, eosTokenIds: [3, 5] }],
  ['heads', { mtp: { kind: 'sequential', numHeads: 4 }, rmsNormEps: 1e-3, attentionBias: true }],
])('reads what configToJson wrote: %s', (_, options) => {
  const sizes = { vocabSize: 100, hiddenSize: 64, numHiddenLayers: 2, numAttentionHeads: 4 };
  const config = modelConfig({ ...sizes, ...options });
  const json = JSON.parse(JSON.stringify(configToJson(config, 'bfloat16'))) as Record<string, unknown>;
  expect(configFromJson(json)).toEqual(config);
});

describe('angles of layers with a window, in Gemma 3', () => {
  const sizes = {
    ...{ vocabSize: 100, hiddenSize: 64, numHiddenLayers: 2, numAttentionHeads: 4 },
    ...{ modelType: 'gemma3_text', slidingWindow: 4, ropeTheta: 1e6 },
  } as const;
  const linear = { ropeType: 'linear', factor: 8 } as const;

  it('stay those of the other layers when they are written and read', () => {
    const reread = (options: Partial<ModelOptions>): ModelConfig =>
      configFromJson(configToJson(modelConfig({ ...sizes, ...options } as ModelOptions), 'bfloat16'));
    expect(reread({}).ropeLocalBaseFreq).toBe(1e6);
    expect(reread({ ropeScaling: linear }).ropeLocalBaseFreq).toBeNull();
    expect(reread({ ropeLocalBaseFreq: 500 }).ropeLocalBaseFreq).toBe(500);
  });

  const read = (full: object, sliding: object) =>
    configFromJson({
      ...gemma3.text_config,
      rope_scaling: null,
      rope_parameters: { full_attention: full, sliding_attention: sliding },
    });

  it.each([
    [{ rope_theta: 5000 }, { rope_theta: 5000 }, null],
    [{ rope_theta: 5000 }, { rope_theta: 100 }, 100],
    [{ rope_theta: 5000 }, {}, 10000],
    [{ rope_type: 'linear', factor: 8, rope_theta: 5000 }, { rope_theta: 5000 }, 5000],
    [
      { rope_type: 'linear', factor: 8, rope_theta: 5000 },
      { rope_type: 'linear', factor: 8, rope_theta: 5000 },
      null,
    ],
  ])('%j and %j', (full, sliding, expected) => {
    expect(read(full, sliding)).toMatchObject({ ropeTheta: 5000, ropeLocalBaseFreq: expected });
  });

  it('cannot have a base of their own and scaling', () => {
    const scaled = { rope_type: 'linear', factor: 8 };
    expect(() => read({ ...scaled, rope_theta: 5000 }, { ...scaled, rope_theta: 100 })).toThrow(
      foretokenError('INVALID_CONFIG', 'rope_parameters.sliding_attention.rope_type', '"linear"'),
    );
  });
});
