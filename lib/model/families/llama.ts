import { llamaBlock, SILU, type Family } from './family';

/** Llama 2 and 3, and all models that have their layers: TinyLlama, SmolLM2. */
export const llama: Family = {
  className: 'Llama',
  defaults: {
    vocab_size: 32000,
    hidden_size: 4096,
    intermediate_size: 11008,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    max_position_embeddings: 2048,
    rms_norm_eps: 1e-6,
    bos_token_id: 1,
    eos_token_id: 2,
  },
  options: ['attentionBias'],
  fixed: SILU,
  block: llamaBlock,
};
