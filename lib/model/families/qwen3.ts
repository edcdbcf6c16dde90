import { llamaBlock, SILU, type Family } from './family';
import { lastLayers } from './windows';

/** Qwen 3: Llama with an RMSNorm on each query and key head. */
export const qwen3: Family = {
  className: 'Qwen3',
  defaults: {
    vocab_size: 151936,
    hidden_size: 4096,
    intermediate_size: 22016,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 32,
    head_dim: 128,
    max_position_embeddings: 32768,
    rms_norm_eps: 1e-6,
    sliding_window: 4096,
    max_window_layers: 28,
  },
  options: ['attentionBias', 'slidingWindow', 'layerTypes'],
  fixed: SILU,
  layers: lastLayers,
  block: (config, layer) => ({ ...llamaBlock(config, layer), qkNorm: 'head' }),
};
