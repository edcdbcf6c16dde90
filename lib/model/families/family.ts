import type { BlockConfig, BlockNorms } from '../../nn/block-config';
import type { ModelConfig, SpecificOption } from '../config';
import type { Json } from '../fields';
import type { ModuleLayouts } from '../mtp-layouts';
import type { LayerKeys } from './windows';

/** Keys of config.json with the values, the usual one first, without which the trunk would have to compute something else. */
export type FixedKeys = Readonly<Record<string, readonly unknown[]>>;

/**
 * A family of models: how its config.json is read and written, what its layers compute, and how its checkpoints differ from those of
 * Llama. Each family is one file.
 */
export interface Family {
  /** Begins the names of transformers' classes, which `architectures` of config.json lists, as in `Llama`ForCausalLM. */
  readonly className: string;
  /** Values of keys that config.json lacks, from the configuration class of transformers. */
  readonly defaults: Json;
  /** Options of {@link ModelConfig} that not all families have. */
  readonly options: readonly SpecificOption[];
  /** Keys of features that the family has, but the trunk has not, with the values that turn the feature off. */
  readonly fixed: FixedKeys;
  /** Kinds of rope scaling. Default: all. */
  readonly ropeTypes?: readonly string[];
  /** Keys of the object of rotary angles that change nothing in a text. Default: none. */
  readonly harmlessRopeKeys?: readonly string[];
  /** How config.json says in what layers differ. Default: no layer has a window. */
  readonly layers?: LayerKeys;
  /** Describes a layer of the trunk. */
  block(config: ModelConfig, layer: number): BlockConfig;
  /** Returns the factor of embeddings. Default: 1. */
  embeddingScale?(config: ModelConfig): number;
  /** Names the tensors of modules for further tokens. Default: as layers after the trunk's last. */
  readonly modules?: ModuleLayouts;
  /** Whether checkpoints hold w in place of the factor 1 + w of a norm. Default: no. */
  holdsOneLess?(tensor: string): boolean;
}

/** Norms before both halves of a layer, as Llama names them. */
export const NORMS_BEFORE: BlockNorms = {
  beforeAttention: 'input_layernorm',
  afterAttention: null,
  beforeMlp: 'post_attention_layernorm',
  afterMlp: null,
};

/** The activation of most families. */
export const SILU: FixedKeys = { hidden_act: ['silu', 'swish'] };

/** Describes a layer of Llama, from which other families differ. */
export function llamaBlock(config: ModelConfig, layer: number): BlockConfig {
  const hasWindow = (config.layerTypes?.[layer] ?? 'sliding_attention') === 'sliding_attention';
  return {
    hiddenSize: config.hiddenSize,
    intermediateSize: config.intermediateSize,
    heads: config.numAttentionHeads,
    kvHeads: config.numKeyValueHeads,
    headDim: config.headDim,
    rmsNormEps: config.rmsNormEps,
    norms: NORMS_BEFORE,
    qkvBias: config.attentionBias,
    outBias: config.attentionBias,
    qkNorm: null,
    activation: 'silu',
    fused: false,
    scoreScale: 1 / Math.sqrt(config.headDim),
    residualScale: 1,
    window: hasWindow ? config.slidingWindow : null,
    outputGate: false,
    recurrent: null,
    initStd: config.initializerRange,
    residualStd: config.initializerRange / Math.sqrt(2 * config.numHiddenLayers),
  };
}
