import { translateConfig, type TranslatedConfig } from '../../../lib/model/gguf/config';
import type { GgufTensor, GgufValue } from '../../../lib/model/gguf/format';
import { Metadata } from '../../../lib/model/gguf/metadata';
import { huggingFaceName } from '../../../lib/model/gguf/names';
import { ARCHITECTURES } from '../../../lib/model/gguf/architectures';
import { foretokenError } from '../../support/errors';

/** Tensors of these names, whose contents do not matter; the embedding has 96 rows. */
function tensorsOf(names: readonly string[]): Map<string, GgufTensor> {
  const all = [
    'token_embd.weight',
    ...names,
    ...Array.from({ length: 8 }, (_, i) => `blk.${i}.attn_norm.weight`),
  ];
  return new Map(all.map((name) => [name, { type: 'F32', shape: [96, 64], begin: 0, end: 0 }]));
}

/** The values that a file of an architecture has to have. */
const usual = (architecture: string): Record<string, GgufValue> => ({
  'general.architecture': architecture,
  [`${architecture}.block_count`]: 4,
  [`${architecture}.embedding_length`]: 64,
  [`${architecture}.feed_forward_length`]: 128,
  [`${architecture}.context_length`]: 512,
  [`${architecture}.attention.head_count`]: 4,
  [`${architecture}.attention.head_count_kv`]: 2,
  [`${architecture}.attention.layer_norm_rms_epsilon`]: Math.fround(1e-5),
});

function translate(
  architecture: string,
  more: Record<string, GgufValue> = {},
  names: readonly string[] = [],
  factors?: Float32Array,
): TranslatedConfig {
  const own = Object.entries(more).map(([key, value]): [string, GgufValue] => [
    key.replace('ARCH', architecture),
    value,
  ]);
  const entries = new Map(Object.entries({ ...usual(architecture), ...Object.fromEntries(own) }));
  return translateConfig(new Metadata('a.gguf', entries), tensorsOf(names), factors);
}

const COMMON = {
  vocab_size: 96,
  hidden_size: 64,
  intermediate_size: 128,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 16,
  max_position_embeddings: 512,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  rope_scaling: null,
  tie_word_embeddings: true,
  attention_bias: false,
};

describe('each architecture becomes the keys of its family', () => {
  const cases: [string, Record<string, GgufValue>, Record<string, unknown>][] = [
    ['llama', {}, { model_type: 'llama' }],
    [
      'qwen2',
      { 'ARCH.rope.freq_base': 1e6 },
      { model_type: 'qwen2', rope_theta: 1e6, attention_bias: undefined },
    ],
    [
      'qwen3',
      { 'ARCH.attention.key_length': 32, 'ARCH.attention.value_length': 32 },
      { model_type: 'qwen3', head_dim: 32 },
    ],
    ['smollm3', {}, { model_type: 'smollm3', no_rope_layers: [1, 1, 1, 0] }],
    [
      'granite',
      {
        'ARCH.attention.scale': 0.015625,
        'ARCH.embedding_scale': 12,
        'ARCH.residual_scale': Math.fround(0.22),
        'ARCH.logit_scale': 8,
      },
      {
        model_type: 'granite',
        attention_multiplier: 0.015625,
        embedding_multiplier: 12,
        residual_multiplier: 0.22,
        logits_scaling: 8,
      },
    ],
    [
      'granite',
      { 'ARCH.logit_scale': 0 },
      {
        model_type: 'granite',
        attention_multiplier: 0.25,
        embedding_multiplier: 1,
        residual_multiplier: 1,
        logits_scaling: 1,
      },
    ],
    ['olmo2', {}, { model_type: 'olmo2' }],
    ['phi3', { 'ARCH.attention.sliding_window': 262 }, { model_type: 'phi3', sliding_window: 262 }],
    [
      'phi3',
      { 'ARCH.attention.sliding_window': 0, 'ARCH.rope.dimension_count': 12 },
      { model_type: 'phi3', sliding_window: null, partial_rotary_factor: 0.75 },
    ],
    [
      'gemma3',
      { 'ARCH.attention.sliding_window': 32, 'ARCH.rope.freq_base': 1e6, 'ARCH.block_count': 7 },
      {
        model_type: 'gemma3_text',
        num_hidden_layers: 7,
        rope_theta: 1e6,
        rope_local_base_freq: 10000,
        sliding_window: 32,
        layer_types: [
          ...Array.from({ length: 5 }, () => 'sliding_attention'),
          'full_attention',
          'sliding_attention',
        ],
        hidden_activation: 'gelu_pytorch_tanh',
        final_logit_softcapping: null,
        query_pre_attn_scalar: 16,
      },
    ],
    [
      'gemma3',
      {
        'ARCH.attention.sliding_window': 32,
        'ARCH.attention.sliding_window_pattern': Uint8Array.of(1, 0, 0, 1),
        'ARCH.rope.freq_base_swa': 20000,
        'ARCH.final_logit_softcapping': 30,
      },
      {
        model_type: 'gemma3_text',
        rope_local_base_freq: 20000,
        sliding_window: 32,
        layer_types: ['sliding_attention', 'full_attention', 'full_attention', 'sliding_attention'],
        hidden_activation: 'gelu_pytorch_tanh',
        final_logit_softcapping: 30,
        query_pre_attn_scalar: 16,
      },
    ],
  ];
  it.each(cases)('%s %j', (architecture, metadata, expected) => {
    expect(translate(architecture, metadata).config).toEqual({ ...COMMON, ...expected });
  });

  it('and Gemma of 27 billion parameters scales attention by its width', () => {
    const names = Array.from({ length: 62 }, (_, i) => `blk.${i}.ffn_norm.weight`);
    const { config } = translate(
      'gemma3',
      { 'ARCH.block_count': 62, 'ARCH.attention.key_length': 24 },
      names,
    );
    expect(config).toMatchObject({ query_pre_attn_scalar: 16, head_dim: 24 });
  });
});

it('finds out what only the tensors say', () => {
  const { config } = translate('llama', {}, ['output.weight', 'blk.0.attn_q.bias']);
  expect(config).toMatchObject({ tie_word_embeddings: false, attention_bias: true });
  // These have always biases, and no key for them.
  expect(translate('qwen2', {}, ['blk.0.attn_q.bias']).config).not.toHaveProperty('attention_bias');
});

it('takes sizes that are listed by layer, if all are the same', () => {
  const { config } = translate('llama', { 'ARCH.feed_forward_length': Int32Array.of(128, 128, 128, 128) });
  expect(config).toMatchObject({ intermediate_size: 128 });
  const differing = () => translate('llama', { 'ARCH.feed_forward_length': Int32Array.of(128, 256) });
  expect(differing).toThrow(
    foretokenError('INVALID_CONFIG', 'llama.feed_forward_length', 'differs between layers'),
  );
});

it('counts layers that predict further tokens apart', () => {
  const { config } = translate('llama', { 'ARCH.nextn_predict_layers': 1 });
  expect(config).toMatchObject({ num_hidden_layers: 3, num_nextn_predict_layers: 1 });
});

it('refuses a list of windows for other layers than the file has', () => {
  const pattern = { 'ARCH.attention.sliding_window_pattern': Uint8Array.of(1, 0, 0) };
  expect(() => translate('gemma3', { 'ARCH.attention.sliding_window': 32, ...pattern })).toThrow(
    foretokenError('INVALID_CONFIG', 'gemma3.attention.sliding_window_pattern', '3 elements', '4 layers'),
  );
});

describe('the scaling of rotary angles', () => {
  const scaling = (metadata: Record<string, GgufValue>) => translate('llama', metadata).config.rope_scaling;

  it('may be off', () => {
    expect(scaling({ 'ARCH.rope.scaling.type': 'none', 'ARCH.rope.scaling.factor': 4 })).toBeNull();
    expect(scaling({ 'ARCH.rope.scaling.type': 'linear' })).toBeNull();
    expect(scaling({ 'ARCH.rope.scaling.factor': 1 })).toBeNull();
  });

  it('may be linear, under a new and an old key', () => {
    const linear = { rope_type: 'linear', factor: 4 };
    expect(scaling({ 'ARCH.rope.scaling.type': 'linear', 'ARCH.rope.scaling.factor': 4 })).toEqual(linear);
    expect(scaling({ 'ARCH.rope.scale_linear': 4 })).toEqual(linear);
  });

  it('may be YaRN', () => {
    const yarn = { 'ARCH.rope.scaling.type': 'yarn', 'ARCH.rope.scaling.factor': 4 };
    expect(scaling(yarn)).toEqual({ rope_type: 'yarn', factor: 4 });
    const more = {
      'ARCH.rope.scaling.original_context_length': 128,
      'ARCH.rope.scaling.yarn_attn_factor': 1.5,
      'ARCH.rope.scaling.yarn_beta_fast': 16,
      'ARCH.rope.scaling.yarn_beta_slow': 2,
    };
    expect(scaling({ ...yarn, ...more })).toEqual({
      rope_type: 'yarn',
      factor: 4,
      original_max_position_embeddings: 128,
      attention_factor: 1.5,
      beta_fast: 16,
      beta_slow: 2,
    });
  });

  it('may be of a kind that the families then refuse', () => {
    expect(scaling({ 'ARCH.rope.scaling.type': 'longrope' })).toEqual({ rope_type: 'longrope' });
    const { config } = translate('phi3', { 'ARCH.rope.scaling.attn_factor': 1.2 }, [
      'rope_factors_long.weight',
    ]);
    expect(config.rope_scaling).toEqual({ rope_type: 'longrope' });
  });

  /** Factors as llama.cpp's converter computes them, in float32. */
  function factorsOf(
    theta: number,
    headDim: number,
    factor: number,
    low: number,
    high: number,
    original: number,
  ) {
    return Float32Array.from({ length: headDim / 2 }, (_, i) => {
      const frequency = Math.fround(1 / theta ** ((2 * i) / headDim));
      const wavelength = (2 * Math.PI) / frequency;
      if (wavelength < original / high) return 1;
      if (wavelength > original / low) return factor;
      const smooth = (original / wavelength - low) / (high - low);
      return 1 / ((1 - smooth) / factor + smooth);
    });
  }

  it.each([
    ['Llama 3.1', 500000, 128, 8, 1, 4, 8192],
    ['Llama 3.2', 500000, 64, 32, 1, 4, 8192],
    ['a small model with several frequencies between', 10000, 64, 4, 1, 16, 256],
    ['a small model with one frequency between', 10000, 16, 8, 1, 4, 64],
  ])(
    'may be that of %s, of which the file has the factors alone',
    (_, theta, headDim, factor, low, high, original) => {
      const sizes = { 'ARCH.attention.key_length': headDim, 'ARCH.attention.value_length': headDim };
      const factors = factorsOf(theta, headDim, factor, low, high, original);
      expect(factors.some((value) => value > 1 && value < factor)).toBe(true);
      const { config } = translate('llama', { ...sizes, 'ARCH.rope.freq_base': theta }, [], factors);
      expect(config.rope_scaling).toEqual({
        rope_type: 'llama3',
        factor,
        low_freq_factor: low,
        high_freq_factor: high,
        original_max_position_embeddings: original,
      });
    },
  );

  it('may not be anything else that factors could mean', () => {
    const factors = factorsOf(10000, 16, 8, 1, 4, 64);
    factors[0] = 2;
    expect(() => translate('llama', {}, [], factors)).toThrow(
      foretokenError('UNSUPPORTED', 'rope_freqs.weight'),
    );
    expect(() => translate('llama', {}, [], factors.subarray(1))).toThrow(
      foretokenError('CORRUPT_FILE', 'rope_freqs.weight', '7 factors', '8'),
    );
    const both = () => translate('llama', { 'ARCH.rope.scaling.factor': 2 }, [], factors);
    expect(both).toThrow(foretokenError('INVALID_CONFIG', 'llama.rope.scaling.factor'));
    expect(translate('llama', {}, [], new Float32Array(8).fill(1)).config.rope_scaling).toBeNull();
  });
});

describe('metadata are refused', () => {
  const refused: [string, Record<string, GgufValue>, string[]][] = [
    ['of an unknown architecture', { 'general.architecture': 'mamba' }, ['"mamba"', 'llama, qwen2']],
    [
      'with a key that may change numbers',
      { 'ARCH.attention.clamp_kqv': 8 },
      ['llama.attention.clamp_kqv', '8'],
    ],
    ['with experts', { 'ARCH.expert_count': 8 }, ['llama.expert_count', 'must be 0', '8']],
    [
      'with values of another width',
      { 'ARCH.attention.value_length': 8 },
      ['attention.value_length', '16', '8'],
    ],
    ['of one part of several', { 'split.count': 3 }, ['split.count', '3', 'llama-gguf-split --merge']],
    [
      'with text for a number',
      { 'ARCH.embedding_length': 'x' },
      ['llama.embedding_length', 'integer', '"x"'],
    ],
    ['with fractions of layers', { 'ARCH.block_count': 1.5 }, ['llama.block_count', '1.5']],
    ['with more layers than tensors', { 'ARCH.block_count': 4294967295 }, ['llama.block_count', '9 tensors']],
    ['without layers', { 'ARCH.nextn_predict_layers': 4 }, ['llama.block_count']],
  ];
  it.each(refused)('%s', (_, metadata, parts) => {
    expect(() => translate('llama', metadata)).toThrow(foretokenError('INVALID_CONFIG', 'a.gguf', ...parts));
  });

  it.each(Object.keys(usual('llama')).filter((key) => !/head_count_kv|context_length/.test(key)))(
    'without %s',
    (key) => {
      const entries = new Map(Object.entries(usual('llama')));
      entries.delete(key);
      const translated = () => translateConfig(new Metadata('a.gguf', entries), tensorsOf([]), undefined);
      expect(translated).toThrow(foretokenError('INVALID_CONFIG', key, 'is missing'));
    },
  );
});

describe('names of tensors', () => {
  const { llama, gemma3, phi3, olmo2 } = ARCHITECTURES;
  it.each([
    ['token_embd.weight', llama!, 'model.embed_tokens.weight'],
    ['output_norm.weight', llama!, 'model.norm.weight'],
    ['output.weight', llama!, 'lm_head.weight'],
    ['blk.12.attn_q.bias', llama!, 'model.layers.12.self_attn.q_proj.bias'],
    ['blk.0.attn_output.weight', llama!, 'model.layers.0.self_attn.o_proj.weight'],
    ['blk.0.ffn_norm.weight', llama!, 'model.layers.0.post_attention_layernorm.weight'],
    ['blk.0.ffn_norm.weight', gemma3!, 'model.layers.0.pre_feedforward_layernorm.weight'],
    ['blk.0.post_ffw_norm.weight', gemma3!, 'model.layers.0.post_feedforward_layernorm.weight'],
    ['blk.0.post_attention_norm.weight', olmo2!, 'model.layers.0.post_attention_layernorm.weight'],
    ['blk.0.attn_qkv.weight', phi3!, 'model.layers.0.self_attn.qkv_proj.weight'],
    ['blk.0.ffn_up.weight', phi3!, 'model.layers.0.mlp.gate_up_proj.weight'],
    ['blk.4.nextn.eh_proj.weight', llama!, 'model.layers.4.eh_proj.weight'],
    ['blk.4.nextn.shared_head_norm.weight', llama!, 'model.layers.4.shared_head.norm.weight'],
    ['blk.0.unheard_of.weight', llama!, 'blk.0.unheard_of.weight'],
    ['blk.0.attn_norm', llama!, 'blk.0.attn_norm'],
    ['constructor.weight', llama!, 'constructor.weight'],
  ])('%s', (name, architecture, expected) => {
    expect(huggingFaceName(name, architecture)).toBe(expected);
  });
});
