import { arrayOf, integer, oneOf, type Checker } from '../../check';
import type { GatedDeltaConfig } from '../../nn/block-config';
import type { LayerType, ModelConfig } from '../config';
import { llamaBlock, SILU, type Family } from './family';
import { LINEAR_SIZES } from './linear-sizes';
import { readTypes, typesOf, type LayerKeys } from './windows';

const TYPES: Checker<LayerType[]> = arrayOf(oneOf('full_attention', 'linear_attention'));

/** The keys say which layers attend. In a file without the list every fourth does, or as `full_attention_interval` says. */
const layers: LayerKeys = {
  read: (fields, count) => {
    const interval = fields.check('full_attention_interval', integer(1)) ?? 4;
    const usual = Array.from({ length: count }, (_, layer): LayerType =>
      (layer + 1) % interval === 0 ? 'full_attention' : 'linear_attention',
    );
    const types = readTypes(fields, count, TYPES) ?? usual;
    return { layerTypes: types.includes('linear_attention') ? types : null };
  },
  write: (config) => ({
    layer_types: typesOf(config),
    mtp_num_hidden_layers: config.mtp.kind === 'recursive' ? (config.mtp.modules ?? 1) : 0,
  }),
};

function gatedDelta(config: ModelConfig): GatedDeltaConfig {
  return {
    keyHeads: config.linearNumKeyHeads!,
    valueHeads: config.linearNumValueHeads!,
    keyDim: config.linearKeyHeadDim!,
    valueDim: config.linearValueHeadDim!,
    taps: config.linearConvKernelDim!,
  };
}

/**
 * The text model of Qwen 3.5: gated delta nets in most layers, in place of attention. The others are those of Qwen 3 with heads that are
 * rotated in part and an output gate. Norms have 1 + w as their factor, except those at the end of gated delta nets. The vision tower of
 * published checkpoints is left out: in a text, the three positions that its angles have for images are one.
 */
export const qwen35: Family = {
  className: 'Qwen3_5',
  defaults: {
    vocab_size: 248320,
    hidden_size: 4096,
    intermediate_size: 12288,
    num_hidden_layers: 32,
    num_attention_heads: 16,
    num_key_value_heads: 4,
    head_dim: 256,
    max_position_embeddings: 32768,
    rms_norm_eps: 1e-6,
    partial_rotary_factor: 0.25,
    linear_num_key_heads: 16,
    linear_num_value_heads: 32,
    linear_key_head_dim: 128,
    linear_value_head_dim: 128,
    linear_conv_kernel_dim: 4,
  },
  options: ['attentionBias', 'partialRotaryFactor', 'layerTypes', ...LINEAR_SIZES],
  fixed: {
    ...SILU,
    attn_output_gate: [true],
    // Of the norm in gated delta nets; most files lack it.
    output_gate_type: [null, 'swish', 'silu'],
  },
  harmlessRopeKeys: ['mrope_section', 'mrope_interleaved'],
  layers,
  block: (config, layer) => ({
    ...llamaBlock(config, layer),
    qkNorm: 'head',
    outputGate: true,
    recurrent: config.layerTypes?.[layer] === 'linear_attention' ? gatedDelta(config) : null,
  }),
  // Published checkpoints have one module.
  modules: (_, i) => ({
    ...{ prefix: i === 0 ? 'mtp.' : `mtp.modules.${i}.`, tokenNorm: 'pre_fc_norm_embedding' },
    ...{
      stateNorm: 'pre_fc_norm_hidden',
      projection: 'fc',
      block: 'layers.0.',
      norm: 'norm',
      stateFirst: false,
    },
  }),
  holdsOneLess: (tensor) =>
    /norm(_embedding|_hidden)?\.weight$/.test(tensor) && !tensor.endsWith('linear_attn.norm.weight'),
};
