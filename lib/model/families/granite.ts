import { llamaBlock, SILU, type Family } from './family';

/** Granite 3: Llama with factors of embeddings, scores, residual additions and logits. */
export const granite: Family = {
  className: 'Granite',
  defaults: {
    vocab_size: 32000,
    hidden_size: 4096,
    intermediate_size: 11008,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    max_position_embeddings: 2048,
    rms_norm_eps: 1e-6,
    attention_multiplier: 1,
    embedding_multiplier: 1,
    residual_multiplier: 1,
    logits_scaling: 1,
    bos_token_id: 1,
    eos_token_id: 2,
  },
  options: [
    'attentionBias',
    'attentionMultiplier',
    'embeddingMultiplier',
    'residualMultiplier',
    'logitsScaling',
  ],
  fixed: SILU,
  block: (config, layer) => {
    const block = llamaBlock(config, layer);
    return {
      ...block,
      scoreScale: config.attentionMultiplier ?? block.scoreScale,
      residualScale: config.residualMultiplier,
    };
  },
  embeddingScale: ({ embeddingMultiplier }) => embeddingMultiplier,
};
