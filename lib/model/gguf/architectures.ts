import type { Metadata } from './metadata';

type Json = Record<string, unknown>;

/** How models of one `general.architecture` are stored. */
export interface Architecture {
  /** The `model_type` of config.json. */
  readonly modelType: string;
  /** Whether rows of q and k are stored in pairs that llama.cpp rotates, instead of the two halves of a head. */
  readonly inPairs?: boolean;
  /** Whether norms are stored as 1 + w. */
  readonly normsHoldOnePlus?: boolean;
  /** Hugging Face's names of tensors of a layer that differ from those of llama. */
  readonly names?: Readonly<Record<string, string>>;
  /** Keys of config.json beside those of every architecture, `common`; `key` completes a name with the architecture's. */
  config?(metadata: Metadata, key: (name: string) => string, common: CommonConfig): Json;
}

/** Keys of config.json of every architecture that others depend on. */
export interface CommonConfig {
  readonly num_hidden_layers: number;
  readonly hidden_size: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly head_dim: number;
}

/** Names of a layer's tensors in llama, and in every architecture that does not say otherwise. */
export const LAYER_NAMES: Readonly<Record<string, string>> = {
  attn_norm: 'input_layernorm',
  attn_q: 'self_attn.q_proj',
  attn_k: 'self_attn.k_proj',
  attn_v: 'self_attn.v_proj',
  attn_output: 'self_attn.o_proj',
  attn_q_norm: 'self_attn.q_norm',
  attn_k_norm: 'self_attn.k_norm',
  ffn_norm: 'post_attention_layernorm',
  ffn_gate: 'mlp.gate_proj',
  ffn_up: 'mlp.up_proj',
  ffn_down: 'mlp.down_proj',
  // Of a module that predicts the token after the next, as DeepSeek-V3 names them.
  'nextn.eh_proj': 'eh_proj',
  'nextn.enorm': 'enorm',
  'nextn.hnorm': 'hnorm',
  'nextn.embed_tokens': 'embed_tokens',
  'nextn.shared_head_norm': 'shared_head.norm',
  'nextn.shared_head_head': 'shared_head.head',
};

/** Names of the tensors that lie in no layer. */
export const OTHER_NAMES: Readonly<Record<string, string>> = {
  token_embd: 'model.embed_tokens',
  output_norm: 'model.norm',
  output: 'lm_head',
};

/** Lists which of the layers see a window only: as the file says for each, or all but every n-th. */
function layerTypes(metadata: Metadata, key: string, layers: number, usual: number): string[] {
  const listed = typeof metadata.take(key) === 'object' ? metadata.numbers(key)! : undefined;
  if (listed && listed.length !== layers) {
    metadata.fail(key, `has ${listed.length} elements, but there are ${layers} layers`);
  }
  const every = listed ? usual : (metadata.integer(key) ?? usual);
  const slides = (layer: number) => (listed ? listed[layer] !== 0 : every === 0 || layer % every < every - 1);
  return Array.from({ length: layers }, (_, layer) =>
    slides(layer) ? 'sliding_attention' : 'full_attention',
  );
}

/** By `general.architecture`. Sources: llama.cpp's conversion/*.py and src/models/*.cpp of 28 September 2026. */
export const ARCHITECTURES: Readonly<Record<string, Architecture>> = {
  llama: { modelType: 'llama', inPairs: true },
  qwen2: { modelType: 'qwen2' },
  qwen3: { modelType: 'qwen3' },
  smollm3: {
    modelType: 'smollm3',
    inPairs: true,
    // llama.cpp has this number in its code, not in the file.
    config: (_metadata, _key, { num_hidden_layers: length }) => ({
      no_rope_layers: Array.from({ length }, (_, layer) => ((layer + 1) % 4 === 0 ? 0 : 1)),
    }),
  },
  granite: {
    modelType: 'granite',
    inPairs: true,
    // 0 and a missing key turn a multiplier off.
    config: (metadata, key, { head_dim: headDim }) => ({
      attention_multiplier: metadata.unlessZero(key('attention.scale')) ?? 1 / Math.sqrt(headDim),
      embedding_multiplier: metadata.unlessZero(key('embedding_scale')) ?? 1,
      residual_multiplier: metadata.unlessZero(key('residual_scale')) ?? 1,
      logits_scaling: metadata.unlessZero(key('logit_scale')) ?? 1,
    }),
  },
  olmo2: {
    modelType: 'olmo2',
    names: {
      post_attention_norm: 'post_attention_layernorm',
      post_ffw_norm: 'post_feedforward_layernorm',
    },
  },
  phi3: {
    modelType: 'phi3',
    names: { attn_qkv: 'self_attn.qkv_proj', ffn_up: 'mlp.gate_up_proj' },
    // 0 means that there is no window.
    config: (metadata, key) => ({
      sliding_window: metadata.unlessZero(key('attention.sliding_window')) ?? null,
    }),
  },
  gemma3: {
    modelType: 'gemma3_text',
    normsHoldOnePlus: true,
    names: {
      post_attention_norm: 'post_attention_layernorm',
      ffn_norm: 'pre_feedforward_layernorm',
      post_ffw_norm: 'post_feedforward_layernorm',
    },
    config: (metadata, key, common) => ({
      hidden_activation: 'gelu_pytorch_tanh',
      sliding_window: metadata.integer(key('attention.sliding_window')),
      layer_types: layerTypes(metadata, key('attention.sliding_window_pattern'), common.num_hidden_layers, 6),
      rope_local_base_freq: metadata.number(key('rope.freq_base_swa')) ?? 10000,
      final_logit_softcapping: metadata.unlessZero(key('final_logit_softcapping')) ?? null,
      // The file does not say how attention is scaled. It is by the head's width, except in the model of 27 billion parameters.
      query_pre_attn_scalar:
        common.num_hidden_layers === 62 ? common.hidden_size / common.num_attention_heads : common.head_dim,
    }),
  },
};
