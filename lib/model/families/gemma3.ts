import { llamaBlock, type Family } from './family';
import { alternating } from './windows';

/**
 * The text model of Gemma 3: norms on both sides of each half and on query and key heads, all with 1 + w as their factor; a window in
 * most layers, whose angles have a base of their own; embeddings times the root of their width.
 */
export const gemma3: Family = {
  className: 'Gemma3',
  defaults: {
    vocab_size: 262208,
    hidden_size: 2304,
    intermediate_size: 9216,
    num_hidden_layers: 26,
    num_attention_heads: 8,
    num_key_value_heads: 4,
    head_dim: 256,
    max_position_embeddings: 131072,
    rms_norm_eps: 1e-6,
    rope_theta: 1000000,
    rope_local_base_freq: 10000,
    query_pre_attn_scalar: 256,
    sliding_window: 4096,
    tie_word_embeddings: true,
    bos_token_id: 2,
    eos_token_id: 1,
  },
  options: ['attentionBias', 'queryPreAttnScalar', 'ropeLocalBaseFreq', 'slidingWindow', 'layerTypes'],
  fixed: {
    hidden_activation: ['gelu_pytorch_tanh'],
    // Written by old versions, which compute with hidden_activation.
    hidden_act: ['gelu_pytorch_tanh', 'gelu'],
    attn_logit_softcapping: [],
    final_logit_softcapping: [],
    use_bidirectional_attention: [false],
  },
  layers: alternating,
  block: (config, layer) => ({
    ...llamaBlock(config, layer),
    norms: {
      beforeAttention: 'input_layernorm',
      afterAttention: 'post_attention_layernorm',
      beforeMlp: 'pre_feedforward_layernorm',
      afterMlp: 'post_feedforward_layernorm',
    },
    qkNorm: 'head',
    activation: 'gelu_tanh',
    scoreScale: (config.queryPreAttnScalar ?? config.headDim) ** -0.5,
  }),
  embeddingScale: ({ hiddenSize }) => Math.sqrt(hiddenSize),
  holdsOneLess: (tensor) => tensor.endsWith('norm.weight'),
};
