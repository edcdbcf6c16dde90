import { llamaBlock, SILU, type Family } from './family';
import { lastLayers } from './windows';

/** Qwen 2 and 2.5: Llama with biases on q, k and v. */
export const qwen2: Family = {
  className: 'Qwen2',
  defaults: {
    vocab_size: 151936,
    hidden_size: 4096,
    intermediate_size: 22016,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 32,
    max_position_embeddings: 32768,
    rms_norm_eps: 1e-6,
    sliding_window: 4096,
    max_window_layers: 28,
  },
  options: ['attentionBias', 'slidingWindow', 'layerTypes'],
  fixed: SILU,
  layers: lastLayers,
  block: (config, layer) => ({ ...llamaBlock(config, layer), qkvBias: true, outBias: false }),
};
