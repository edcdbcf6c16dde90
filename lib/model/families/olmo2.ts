import { llamaBlock, SILU, type Family } from './family';

/** OLMo 2: Llama with norms after each half instead of before it, and on all query heads and all key heads together. */
export const olmo2: Family = {
  className: 'Olmo2',
  defaults: {
    vocab_size: 50304,
    hidden_size: 4096,
    intermediate_size: 11008,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    max_position_embeddings: 2048,
    rms_norm_eps: 1e-5,
    eos_token_id: 50279,
  },
  options: ['attentionBias'],
  fixed: SILU,
  block: (config, layer) => ({
    ...llamaBlock(config, layer),
    norms: {
      beforeAttention: null,
      afterAttention: 'post_attention_layernorm',
      beforeMlp: null,
      afterMlp: 'post_feedforward_layernorm',
    },
    qkNorm: 'row',
  }),
};
