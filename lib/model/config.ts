import {
  arrayOf,
  boolean,
  checker,
  checkOptions,
  integer,
  isInteger,
  nullable,
  number,
  object,
  oneOf,
  required,
  show,
  string,
  type Checker,
  type Schema,
} from '../check';
import { ForetokenError } from '../errors';
import { headKind } from '../heads';
import type { BlockConfig } from '../nn/block-config';
import { ROPE_SCALING, type RopeOptions, type RopeScaling } from '../nn/rope-frequencies';
import { LARGEST_INT } from '../tensor/checks';
import { familyOf, MODEL_TYPES, type ModelType } from './families';
import { LINEAR_SIZES } from './families/linear-sizes';

/** Largest number of heads. */
const MAX_HEADS = 16;

export type { ModelType };

/** How a layer reads earlier positions: attention to all of them or to those of its window, or a gated delta net. */
export type LayerType = 'full_attention' | 'sliding_attention' | 'linear_attention';

/** Configuration of a model, in camelCased names of Hugging Face's config.json. */
export interface ModelConfig {
  /** The model's family, which decides what its layers compute. Default `llama`. */
  modelType: ModelType;
  /** Rows of embedding and unembedding, at least the number of the tokenizer's tokens. */
  vocabSize: number;
  /** Width of the residual stream. */
  hiddenSize: number;
  /** Width of the MLPs. Default: 8/3 of hiddenSize, rounded up to a multiple of 64. */
  intermediateSize: number;
  /** Layers of the trunk, the last of which belongs to head 1. */
  numHiddenLayers: number;
  /** Query heads of a layer, a multiple of numKeyValueHeads. */
  numAttentionHeads: number;
  /** Key heads of a layer, and value heads. Default: numAttentionHeads. */
  numKeyValueHeads: number;
  /** Numbers in one attention head, even. Default: hiddenSize / numAttentionHeads. */
  headDim: number;
  /** Largest number of positions of prompt and output together. Default 2048. */
  maxPositionEmbeddings: number;
  /** Added to the mean square in every RMSNorm. Default 1e-5. */
  rmsNormEps: number;
  /** Base of the rotary angles. Default 10000. */
  ropeTheta: number;
  /** Whether embedding and unembedding are one matrix. Default false. */
  tieWordEmbeddings: boolean;
  /** How rotary angles are changed for long texts, or null (default). */
  ropeScaling: RopeScaling | null;
  /** Base of the rotary angles, without scaling, of layers with a window (`gemma3_text`). Default null: as in the other layers. */
  ropeLocalBaseFreq: number | null;
  /** The part of each head that is rotated (`phi3`, `qwen3_5_text`). Default 1. */
  partialRotaryFactor: number;
  /** For each layer 1, or 0 if it does not rotate (`smollm3`). Default null: all rotate. */
  noRopeLayers: readonly number[] | null;
  /** How many last positions, its own included, a position attends to in layers with a window. Default null: no layer has one. */
  slidingWindow: number | null;
  /** Which layers have the window or are gated delta nets (`qwen3_5_text`). Default null: all attend, with the window if there is one. */
  layerTypes: readonly LayerType[] | null;
  /** Query heads of a gated delta net, and key heads, at most 1,024. Layers of type `linear_attention` need all five sizes. */
  linearNumKeyHeads: number | null;
  /** Its value heads, a multiple of linearNumKeyHeads, at most 1,024. */
  linearNumValueHeads: number | null;
  /** Numbers in one of its query or key heads, a multiple of 16 from 16 to 256. */
  linearKeyHeadDim: number | null;
  /** Numbers in one of its value heads, a multiple of 16 from 16 to 256. */
  linearValueHeadDim: number | null;
  /** Positions that its convolution reads, 2 … 8, its own included. */
  linearConvKernelDim: number | null;
  /** Scores of attention are divided by its root (`gemma3_text`). Default headDim. */
  queryPreAttnScalar: number | null;
  /** Factor of the scores of attention (`granite`). Default 1 / sqrt(headDim). */
  attentionMultiplier: number | null;
  /** Factor of embeddings (`granite`). Default 1. */
  embeddingMultiplier: number;
  /** Factor of what a layer adds to the residual stream (`granite`). Default 1. */
  residualMultiplier: number;
  /** Divides all logits (`granite`). Default 1. */
  logitsScaling: number;
  /** Biases on q, k and v and, except in `qwen2`, on the output projection. Default false. */
  attentionBias: boolean;
  /** Standard deviation of initial weights. Default 0.02. */
  initializerRange: number;
  /** The token that begins a text, or null (default). */
  bosTokenId: number | null;
  /** All tokens that end a text, beside that of the tokenizer. Default none. */
  eosTokenIds: readonly number[];
  /** The heads. Default: only head 1. */
  mtp: {
    /** Architecture of heads 2 … n: one of {@link headKindNames}. */
    kind: string;
    /** Number of heads n, 1 … 16, the next-token head included. */
    numHeads: number;
    /** Modules that heads of kind `recursive` share, of which the last is used again: 1 … n - 1. Default 1. */
    modules?: number;
  };
}

/**
 * The largest allowed sizes, at least ten times those of the largest models. Each layer of a model takes memory of JavaScript, and V8
 * ends the process if that memory runs out.
 */
const LIMITS = {
  vocabSize: 2 ** 24,
  hiddenSize: 2 ** 18,
  intermediateSize: 2 ** 20,
  numHiddenLayers: 2 ** 12,
  numAttentionHeads: 2 ** 12,
  numKeyValueHeads: 2 ** 12,
  headDim: 2 ** 14,
  maxPositionEmbeddings: 2 ** 31 - 1,
} as const satisfies Partial<Record<keyof ModelConfig, number>>;

const DEFAULTS = {
  modelType: 'llama',
  maxPositionEmbeddings: 2048,
  rmsNormEps: 1e-5,
  ropeTheta: 10000,
  ropeScaling: null,
  ropeLocalBaseFreq: null,
  partialRotaryFactor: 1,
  noRopeLayers: null,
  slidingWindow: null,
  layerTypes: null,
  linearNumKeyHeads: null,
  linearNumValueHeads: null,
  linearKeyHeadDim: null,
  linearValueHeadDim: null,
  linearConvKernelDim: null,
  queryPreAttnScalar: null,
  attentionMultiplier: null,
  embeddingMultiplier: 1,
  residualMultiplier: 1,
  logitsScaling: 1,
  tieWordEmbeddings: false,
  attentionBias: false,
  initializerRange: 0.02,
  bosTokenId: null,
  eosTokenIds: [],
} as const;

/** Options that only some families have. */
export const SPECIFIC_OPTIONS = [
  'attentionBias',
  'ropeLocalBaseFreq',
  'partialRotaryFactor',
  'noRopeLayers',
  'slidingWindow',
  'layerTypes',
  ...LINEAR_SIZES,
  'queryPreAttnScalar',
  'attentionMultiplier',
  'embeddingMultiplier',
  'residualMultiplier',
  'logitsScaling',
] as const satisfies readonly (keyof typeof DEFAULTS)[];

/** The name of such an option. */
export type SpecificOption = (typeof SPECIFIC_OPTIONS)[number];

/** Options of a model: four required sizes, and any option of {@link ModelConfig} that differs from its default. */
export type ModelOptions = Partial<ModelConfig> &
  Pick<ModelConfig, 'vocabSize' | 'hiddenSize' | 'numHiddenLayers' | 'numAttentionHeads'>;

/**
 * Fills in defaults and checks that the options fit together.
 * @throws ForetokenError INVALID_CONFIG naming the field, its value and what is allowed
 */
export function modelConfig(options: ModelOptions): ModelConfig {
  const given = checkModelOptions(options);
  const { hiddenSize, numAttentionHeads } = given;
  const config: ModelConfig = {
    ...DEFAULTS,
    numKeyValueHeads: numAttentionHeads,
    headDim: hiddenSize / numAttentionHeads,
    // Three matrices of width 8/3 d cost as much as two of width 4 d (Shazeer 2020); rounded up to whole vectors.
    intermediateSize: Math.ceil((hiddenSize * 8) / 3 / 64) * 64,
    mtp: { kind: 'parallel', numHeads: 1 },
    ...given,
  };
  checkTogether(config, given.headDim === undefined);
  return config;
}

const size = (name: keyof typeof LIMITS): Checker<number> => integer(1, LIMITS[name]);
export const TOKEN_ID = integer(0, LARGEST_INT);
const positive = number(Number.MIN_VALUE);
const linearHeads = integer(1, 1024);
const linearDim: Checker<number> = checker(
  'a multiple of 16 from 16 to 256',
  (value) => isInteger(value, 16, 256) && value % 16 === 0,
);

export const MODEL_OPTIONS: Schema<ModelOptions> = {
  modelType: oneOf(...MODEL_TYPES),
  vocabSize: required(size('vocabSize')),
  hiddenSize: required(size('hiddenSize')),
  intermediateSize: size('intermediateSize'),
  numHiddenLayers: required(size('numHiddenLayers')),
  numAttentionHeads: required(size('numAttentionHeads')),
  numKeyValueHeads: size('numKeyValueHeads'),
  headDim: size('headDim'),
  maxPositionEmbeddings: size('maxPositionEmbeddings'),
  rmsNormEps: positive,
  ropeTheta: positive,
  ropeScaling: nullable(ROPE_SCALING),
  ropeLocalBaseFreq: nullable(positive),
  partialRotaryFactor: number(Number.MIN_VALUE, 1),
  noRopeLayers: nullable(arrayOf(integer(0, 1))),
  slidingWindow: nullable(integer(1, LARGEST_INT)),
  layerTypes: nullable(arrayOf(oneOf('full_attention', 'sliding_attention', 'linear_attention'))),
  linearNumKeyHeads: nullable(linearHeads),
  linearNumValueHeads: nullable(linearHeads),
  linearKeyHeadDim: nullable(linearDim),
  linearValueHeadDim: nullable(linearDim),
  linearConvKernelDim: nullable(integer(2, 8)),
  queryPreAttnScalar: nullable(positive),
  attentionMultiplier: nullable(positive),
  embeddingMultiplier: positive,
  residualMultiplier: positive,
  logitsScaling: positive,
  tieWordEmbeddings: boolean,
  attentionBias: boolean,
  initializerRange: positive,
  bosTokenId: nullable(TOKEN_ID),
  eosTokenIds: arrayOf(TOKEN_ID),
  mtp: object<ModelConfig['mtp']>({
    kind: required(string),
    numHeads: required(integer(1, MAX_HEADS)),
    modules: integer(1, MAX_HEADS - 1),
  }),
};

/** Checks each option. Errors are INVALID_CONFIG, because a configuration may come from a file. */
function checkModelOptions(options: ModelOptions): ModelOptions {
  try {
    return checkOptions('model', options, MODEL_OPTIONS);
  } catch (error) {
    if (!(error instanceof ForetokenError)) throw error;
    throw new ForetokenError('INVALID_CONFIG', error.message, { cause: error.cause });
  }
}

/**
 * Checks options that are valid alone but may not fit together.
 * @param divided whether headDim was computed from two other options, which errors then name
 */
function checkTogether(config: ModelConfig, divided: boolean): void {
  const fail = (message: string): never => {
    throw new ForetokenError('INVALID_CONFIG', `model: ${message}`);
  };
  const { hiddenSize, numAttentionHeads } = config;
  const { fits, allowed } = size('headDim');
  const headDim = divided
    ? `hiddenSize (${hiddenSize}) divided by numAttentionHeads (${numAttentionHeads})`
    : 'headDim';
  if (!fits(config.headDim)) fail(`${headDim} must be ${allowed}, but is ${config.headDim}`);
  if (numAttentionHeads % config.numKeyValueHeads !== 0) {
    fail(
      `numAttentionHeads (${numAttentionHeads}) must be a multiple of ` +
        `numKeyValueHeads (${config.numKeyValueHeads})`,
    );
  }
  if (config.headDim % 2 !== 0)
    fail(`${headDim} must be even for rotary positions, but is ${config.headDim}`);
  for (const name of ['noRopeLayers', 'layerTypes'] as const) {
    const { length } = config[name] ?? { length: config.numHiddenLayers };
    if (length !== config.numHiddenLayers) {
      fail(`${name} has ${length} elements, but numHiddenLayers is ${config.numHiddenLayers}`);
    }
  }
  if (config.layerTypes?.includes('sliding_attention') && config.slidingWindow === null) {
    fail('layerTypes has "sliding_attention", but slidingWindow is null');
  }
  const { rotatedDim } = ropeOptions(config);
  if (rotatedDim < 2 || rotatedDim % 2 !== 0) {
    fail(
      `partialRotaryFactor (${config.partialRotaryFactor}) of headDim (${config.headDim}) must be an even number`,
    );
  }
  const family = familyOf(config);
  for (const name of SPECIFIC_OPTIONS) {
    if (family.options.includes(name) || config[name] === DEFAULTS[name]) continue;
    fail(`${name} must be ${show(DEFAULTS[name])} in a ${config.modelType}, but is ${show(config[name])}`);
  }
  if (config.layerTypes?.includes('linear_attention')) checkLinear(config, fail);
  const { ropeType } = config.ropeScaling ?? {};
  if (ropeType && family.ropeTypes && !family.ropeTypes.includes(ropeType)) {
    fail(`ropeScaling must be null in a ${config.modelType}, but is ${ropeType}`);
  }
  const { kind, numHeads, modules } = config.mtp;
  headKind(kind);
  if (modules !== undefined && (kind !== 'recursive' || modules >= numHeads)) {
    fail(
      `mtp.modules is ${modules}, which needs heads of kind recursive and more of them, but there are ${numHeads} (${kind})`,
    );
  }
}

/** Checks the sizes of gated delta nets. */
function checkLinear(config: ModelConfig, fail: (message: string) => never): void {
  if (!familyOf(config).options.includes('linearNumKeyHeads')) {
    fail(`layerTypes must not have "linear_attention" in a ${config.modelType}`);
  }
  for (const name of LINEAR_SIZES) {
    if (config[name] === null) fail(`layerTypes has "linear_attention", but ${name} is null`);
  }
  const [keyHeads, valueHeads] = [config.linearNumKeyHeads!, config.linearNumValueHeads!];
  if (valueHeads % keyHeads !== 0) {
    fail(`linearNumValueHeads (${valueHeads}) must be a multiple of linearNumKeyHeads (${keyHeads})`);
  }
}

/** Derives the angles of layers with or without a window. */
function ropeOptions(config: ModelConfig, isLocal = false): Omit<RopeOptions, 'maxPositions'> {
  const { ropeTheta, ropeScaling, ropeLocalBaseFreq, headDim, partialRotaryFactor } = config;
  const rotatedDim = Math.floor(headDim * partialRotaryFactor);
  return isLocal && ropeLocalBaseFreq !== null
    ? { rotatedDim, theta: ropeLocalBaseFreq, scaling: null }
    : { rotatedDim, theta: ropeTheta, scaling: ropeScaling };
}

/** A layer of the trunk. */
export interface LayerConfig {
  /** Its sizes and features. */
  readonly block: BlockConfig;
  /** Its rotary angles; null if it does not rotate. */
  readonly rope: Omit<RopeOptions, 'maxPositions'> | null;
}

/** Describes a layer of the trunk, 0 … numHiddenLayers-1. */
export function layerConfig(config: ModelConfig, layer: number): LayerConfig {
  const block = familyOf(config).block(config, layer);
  const rotates = config.noRopeLayers?.[layer] !== 0 && !block.recurrent;
  return { block, rope: rotates ? ropeOptions(config, block.window !== null) : null };
}

/** Describes the layers of heads: as the trunk's last layer, but with attention and rotary positions in any case. */
export function headLayerConfig(
  config: ModelConfig,
): LayerConfig & { readonly rope: Omit<RopeOptions, 'maxPositions'> } {
  const { block, rope } = layerConfig(config, config.numHiddenLayers - 1);
  return { block: { ...block, recurrent: null }, rope: rope ?? ropeOptions(config) };
}
