import { llamaBlock, SILU, type Family } from './family';
import { everyLayer } from './windows';

/** Phi-3 and Phi-4: Llama with one tensor for q, k and v and one for gate and up, and heads that are rotated in part. */
export const phi3: Family = {
  className: 'Phi3',
  defaults: {
    vocab_size: 32064,
    hidden_size: 3072,
    intermediate_size: 8192,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    max_position_embeddings: 4096,
    rms_norm_eps: 1e-5,
    bos_token_id: 1,
    eos_token_id: 32000,
  },
  options: ['partialRotaryFactor', 'slidingWindow'],
  fixed: {
    ...SILU,
    lm_head_bias: [false],
    interpolate_factor: [1],
    full_attn_mod: [1],
  },
  // These files mean longrope by "yarn", too.
  ropeTypes: [],
  layers: everyLayer,
  block: (config, layer) => ({ ...llamaBlock(config, layer), fused: true }),
};
