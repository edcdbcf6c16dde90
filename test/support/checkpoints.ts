// Small random checkpoints in the layout of Hugging Face, of all families.
import { byteTokenizerFiles } from '../../lib/model/tokenizer';
import { writeSafetensors, type NamedTensor } from '../../lib/model/safetensors';
import { Random } from '../../lib/random';
import type { Checkpoint, CheckpointTensor } from './reference-model';
import type { TemporaryDirectory } from './temporary';

export type Json = Record<string, unknown>;

/** Sizes of all checkpoints, except where a family has others. */
const SIZES = {
  vocab_size: 260,
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 96,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: false,
  bos_token_id: null,
  eos_token_id: null,
};

const config = (modelType: string, className: string, more: Json): Json => ({
  architectures: [`${className}ForCausalLM`],
  model_type: modelType,
  ...SIZES,
  ...more,
});

/** config.json of families and their variants, as transformers 4 or 5 writes them. */
export const CONFIGS: Readonly<Record<string, Json>> = {
  llama: config('llama', 'Llama', {
    rope_theta: 10000,
    hidden_act: 'silu',
    mlp_bias: false,
    attention_bias: false,
  }),
  'llama, tied, with biases and heads of another width': config('llama', 'Llama', {
    ...{ attention_bias: true, head_dim: 8, tie_word_embeddings: true },
  }),
  'llama 3.1': config('llama', 'Llama', {
    rope_theta: 500,
    rope_scaling: {
      ...{ factor: 8, high_freq_factor: 4, low_freq_factor: 1, original_max_position_embeddings: 32 },
      rope_type: 'llama3',
    },
    head_dim: 12,
  }),
  'llama, linear': config('llama', 'Llama', {
    rope_parameters: { rope_type: 'linear', factor: 4, rope_theta: 1000 },
  }),
  'llama, yarn': config('llama', 'Llama', {
    rope_scaling: { type: 'yarn', factor: 4, original_max_position_embeddings: 24 },
    head_dim: 16,
  }),
  'llama, yarn of DeepSeek': config('llama', 'Llama', {
    rope_parameters: {
      ...{ rope_type: 'yarn', rope_theta: 1000, factor: 3, beta_fast: 8, beta_slow: 0.5, truncate: false },
      ...{ mscale: 1.2, mscale_all_dim: 0.7, original_max_position_embeddings: 40 },
    },
    head_dim: 16,
  }),
  mistral: config('mistral', 'Mistral', { rope_theta: 1000, sliding_window: 5, head_dim: 8 }),
  'mistral without a window': config('mistral', 'Mistral', { sliding_window: null }),
  qwen2: config('qwen2', 'Qwen2', {
    ...{ rope_theta: 1000, use_sliding_window: false, sliding_window: 5, max_window_layers: 2 },
  }),
  'qwen2 with windows': config('qwen2', 'Qwen2', {
    ...{ use_sliding_window: true, sliding_window: 5, max_window_layers: 2 },
    rope_scaling: { type: 'yarn', factor: 2, original_max_position_embeddings: 48 },
  }),
  qwen3: config('qwen3', 'Qwen3', {
    ...{ head_dim: 8, use_sliding_window: true, sliding_window: 7 },
    layer_types: ['full_attention', 'sliding_attention', 'sliding_attention', 'full_attention'],
    rope_parameters: { rope_type: 'default', rope_theta: 1000 },
  }),
  mimo: config('mimo', 'MiMo', {
    ...{ attention_bias: true, rope_theta: 640, head_dim: 4, use_sliding_window: false, sliding_window: 5 },
    ...{ max_window_layers: 4, num_nextn_predict_layers: 1 },
  }),
  smollm3: config('smollm3', 'SmolLM3', {
    ...{ rope_theta: 2000, no_rope_layers: [1, 1, 0, 1], use_sliding_window: false, sliding_window: null },
    layer_types: new Array<string>(4).fill('full_attention'),
  }),
  phi3: config('phi3', 'Phi3', {
    ...{ head_dim: 8, partial_rotary_factor: 0.75, sliding_window: 6, rope_scaling: null },
    ...{ resid_pdrop: 0, embd_pdrop: 0, original_max_position_embeddings: 96 },
  }),
  'phi3 as transformers 5 writes it': config('phi3', 'Phi3', {
    rope_parameters: { rope_type: 'default', rope_theta: 1000, partial_rotary_factor: 0.5 },
    ...{ head_dim: 8, sliding_window: null, layer_types: new Array<string>(4).fill('full_attention') },
  }),
  gemma3: config('gemma3_text', 'Gemma3', {
    ...{ rope_theta: 5000, rope_local_base_freq: 100, rope_scaling: { factor: 8, rope_type: 'linear' } },
    ...{ sliding_window: 5, sliding_window_pattern: 3, query_pre_attn_scalar: 24, head_dim: 8 },
    ...{ hidden_activation: 'gelu_pytorch_tanh', attn_logit_softcapping: null, tie_word_embeddings: true },
  }),
  'gemma3 as transformers 5 writes it': config('gemma3_text', 'Gemma3', {
    rope_parameters: {
      full_attention: { rope_type: 'linear', factor: 8, rope_theta: 5000 },
      sliding_attention: { rope_type: 'default', rope_theta: 5000 },
    },
    layer_types: ['sliding_attention', 'full_attention', 'sliding_attention', 'full_attention'],
    ...{ sliding_window: 5, query_pre_attn_scalar: 8, head_dim: 8, use_bidirectional_attention: false },
  }),
  olmo2: config('olmo2', 'Olmo2', { rope_theta: 1000 }),
  qwen3_5: config('qwen3_5_text', 'Qwen3_5', {
    ...{ head_dim: 8, linear_num_key_heads: 1, linear_num_value_heads: 2, linear_key_head_dim: 16 },
    ...{ linear_value_head_dim: 16, linear_conv_kernel_dim: 4, hidden_act: 'silu', attention_bias: false },
    layer_types: ['linear_attention', 'linear_attention', 'linear_attention', 'full_attention'],
    rope_parameters: { rope_type: 'default', rope_theta: 1000, partial_rotary_factor: 0.25 },
  }),
  granite: config('granite', 'Granite', {
    ...{ attention_multiplier: 0.3, embedding_multiplier: 3, residual_multiplier: 0.4, logits_scaling: 5 },
  }),
};

/** Lists the tensors of a trunk, as transformers names them. */
export function shapesOf(json: Json): Map<string, number[]> {
  const [vocab, hidden] = [json.vocab_size as number, json.hidden_size as number];
  const shapes = new Map<string, number[]>([['model.embed_tokens.weight', [vocab, hidden]]]);
  for (let layer = 0; layer < (json.num_hidden_layers as number); layer++) {
    const types = json.layer_types as string[] | undefined;
    blockShapes(shapes, json, `model.layers.${layer}.`, types?.[layer] === 'linear_attention');
  }
  shapes.set('model.norm.weight', [hidden]);
  if (json.tie_word_embeddings === false) shapes.set('lm_head.weight', [vocab, hidden]);
  return shapes;
}

/**
 * Adds the tensors of a module for further tokens; `names` are those of its token norm, state norm, projection and last norm, `block`
 * begins those of its layer.
 */
export function moduleShapes(
  shapes: Map<string, number[]>,
  json: Json,
  prefix: string,
  names: readonly [string, string, string, string],
  block = '',
): void {
  const hidden = json.hidden_size as number;
  const [token, state, projection, norm] = names.map((name) => `${prefix}${name}.weight`);
  shapes
    .set(token!, [hidden])
    .set(state!, [hidden])
    .set(projection!, [hidden, 2 * hidden])
    .set(norm!, [hidden]);
  blockShapes(shapes, json, prefix + block);
}

function blockShapes(shapes: Map<string, number[]>, json: Json, prefix: string, isRecurrent = false): void {
  const type = json.model_type as string;
  const [hidden, inner] = [json.hidden_size as number, json.intermediate_size as number];
  const set = (name: string, ...shape: number[]): unknown => shapes.set(prefix + name, shape);
  if (isRecurrent) gatedDeltaShapes(set, json);
  else attentionShapes(set, json);
  if (type === 'phi3') set('mlp.gate_up_proj.weight', 2 * inner, hidden);
  else {
    set('mlp.gate_proj.weight', inner, hidden);
    set('mlp.up_proj.weight', inner, hidden);
  }
  set('mlp.down_proj.weight', hidden, inner);
  if (type !== 'olmo2') set('input_layernorm.weight', hidden);
  set('post_attention_layernorm.weight', hidden);
  if (type === 'gemma3_text') set('pre_feedforward_layernorm.weight', hidden);
  if (type === 'gemma3_text' || type === 'olmo2') set('post_feedforward_layernorm.weight', hidden);
}

function attentionShapes(set: (name: string, ...shape: number[]) => unknown, json: Json): void {
  const type = json.model_type as string;
  const [hidden, heads, kvHeads] = ['hidden_size', 'num_attention_heads', 'num_key_value_heads'].map(
    (name) => json[name] as number,
  ) as [number, number, number];
  const dim = (json.head_dim as number | undefined) ?? hidden / heads;
  const [q, kv] = [heads * dim, kvHeads * dim];
  if (type === 'phi3') set('self_attn.qkv_proj.weight', q + 2 * kv, hidden);
  else {
    set('self_attn.q_proj.weight', type === 'qwen3_5_text' ? 2 * q : q, hidden);
    set('self_attn.k_proj.weight', kv, hidden);
    set('self_attn.v_proj.weight', kv, hidden);
  }
  set('self_attn.o_proj.weight', hidden, q);
  if (type === 'qwen2' || type === 'mimo' || json.attention_bias === true) {
    set('self_attn.q_proj.bias', q);
    set('self_attn.k_proj.bias', kv);
    set('self_attn.v_proj.bias', kv);
  }
  if (json.attention_bias === true && type !== 'mimo') set('self_attn.o_proj.bias', hidden);
  if (['qwen3', 'qwen3_5_text', 'gemma3_text', 'olmo2'].includes(type)) {
    set('self_attn.q_norm.weight', type === 'olmo2' ? q : dim);
    set('self_attn.k_norm.weight', type === 'olmo2' ? kv : dim);
  }
}

function gatedDeltaShapes(set: (name: string, ...shape: number[]) => unknown, json: Json): void {
  const size = (name: string): number => json[name] as number;
  const [hidden, heads, dim] = [
    size('hidden_size'),
    size('linear_num_value_heads'),
    size('linear_value_head_dim'),
  ];
  const channels = 2 * size('linear_num_key_heads') * size('linear_key_head_dim') + heads * dim;
  set('linear_attn.in_proj_qkv.weight', channels, hidden);
  set('linear_attn.in_proj_z.weight', heads * dim, hidden);
  set('linear_attn.in_proj_b.weight', heads, hidden);
  set('linear_attn.in_proj_a.weight', heads, hidden);
  set('linear_attn.conv1d.weight', channels, 1, size('linear_conv_kernel_dim'));
  set('linear_attn.A_log', heads);
  set('linear_attn.dt_bias', heads);
  set('linear_attn.norm.weight', dim);
  set('linear_attn.out_proj.weight', hidden, heads * dim);
}

/** Whether a norm multiplies by 1 + w. */
const isOneLess = ({ model_type: type }: Json, name: string): boolean =>
  type === 'gemma3_text' || (type === 'qwen3_5_text' && !name.endsWith('linear_attn.norm.weight'));

/** Makes random values, in float32, large enough that all features of a family count. */
export function randomCheckpoint(json: Json, shapes = shapesOf(json)): Checkpoint {
  const checkpoint = new Map<string, CheckpointTensor>();
  for (const [name, shape] of shapes) {
    const random = new Random(7, name);
    const center = name.endsWith('norm.weight') && !isOneLess(json, name) ? 1 : 0;
    const values = Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () =>
      Math.fround(center + 0.3 * random.normal()),
    );
    checkpoint.set(name, { shape, values });
  }
  return checkpoint;
}

/** Lists the tensors of a checkpoint for writing in float32. */
export function namedTensors(checkpoint: Checkpoint): NamedTensor[] {
  return [...checkpoint].map(([name, { shape, values }]) => ({
    ...{ name, shape, dtype: 'F32' },
    data: Float32Array.from(values),
  }));
}

/** Writes a model's directory, and returns its path. */
export async function writeCheckpoint(
  temporary: TemporaryDirectory,
  json: Json,
  tensors: Iterable<NamedTensor>,
  name = 'model',
): Promise<string> {
  for (const [file, text] of Object.entries(byteTokenizerFiles())) temporary.write(`${name}/${file}`, text);
  temporary.write(`${name}/config.json`, JSON.stringify(json));
  await writeSafetensors(temporary.at(`${name}/model.safetensors`), tensors);
  return temporary.at(name);
}
