import { arrayOf, integer } from '../../check';
import { llamaBlock, SILU, type Family } from './family';
import { readFlagged, writeFlagged, type LayerKeys } from './windows';

/** The keys say which layers rotate: 1, or 0 for a layer that does not. Of a file without the list, every fourth does not. */
const layers: LayerKeys = {
  read: (fields, count) => {
    const interval = fields.check('no_rope_layer_interval', integer(1)) ?? 4;
    const usual = Array.from({ length: count }, (_, layer) => ((layer + 1) % interval === 0 ? 0 : 1));
    const given = fields.check('no_rope_layers', arrayOf(integer(0, 1)));
    if (given && given.length < count) {
      fields.fail('no_rope_layers', `has ${given.length} elements, but num_hidden_layers is ${count}`);
    }
    const rotates = given?.slice(0, count) ?? usual;
    const windows = readFlagged(fields, count, (layer) => rotates[layer] === 0);
    return { noRopeLayers: rotates.includes(0) ? rotates : null, ...windows };
  },
  write: (config) => ({
    no_rope_layers: config.noRopeLayers ?? new Array<number>(config.numHiddenLayers).fill(1),
    ...writeFlagged(config),
  }),
};

/** SmolLM3: Llama, in which some layers do not rotate. */
export const smollm3: Family = {
  className: 'SmolLM3',
  defaults: {
    vocab_size: 128256,
    hidden_size: 2048,
    intermediate_size: 11008,
    num_hidden_layers: 36,
    num_attention_heads: 16,
    num_key_value_heads: 4,
    max_position_embeddings: 32768,
    rms_norm_eps: 1e-6,
    rope_theta: 2000000,
    tie_word_embeddings: true,
    bos_token_id: 128000,
    eos_token_id: 128001,
  },
  options: ['attentionBias', 'noRopeLayers', 'slidingWindow', 'layerTypes'],
  fixed: SILU,
  layers,
  block: llamaBlock,
};
