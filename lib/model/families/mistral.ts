import { llamaBlock, SILU, type Family } from './family';
import { everyLayer } from './windows';

/** Mistral: Llama, in which all layers may have a window. */
export const mistral: Family = {
  className: 'Mistral',
  defaults: {
    vocab_size: 32000,
    hidden_size: 4096,
    intermediate_size: 14336,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    max_position_embeddings: 131072,
    rms_norm_eps: 1e-6,
    sliding_window: 4096,
    bos_token_id: 1,
    eos_token_id: 2,
  },
  options: ['slidingWindow'],
  fixed: SILU,
  layers: everyLayer,
  block: llamaBlock,
};
