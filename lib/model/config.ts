import {
  boolean,
  checkOptions,
  integer,
  nullable,
  number,
  object,
  oneOf,
  required,
  string,
  type Checker,
  type Schema,
} from '../check';
import { ForetokenError } from '../errors';
import { headKind } from '../heads';
import type { BlockConfig } from '../nn/block-config';

/** Largest number of heads. */
export const MAX_HEADS = 16;

/** The model families that the trunk implements, as config.json names them. */
export type ModelType = 'llama' | 'qwen2' | 'qwen3';

/** Configuration of a model, in camelCased names of Hugging Face's config.json. */
export interface ModelConfig {
  /** Default `llama`. `qwen2` has biases on q, k and v, `qwen3` an RMSNorm on each query and key head. */
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
  /** Biases on q, k and v and, except in `qwen2`, on the output projection. Default false. */
  attentionBias: boolean;
  /** Standard deviation of initial weights. Default 0.02. */
  initializerRange: number;
  /** The token that begins a text, or null (default). */
  bosTokenId: number | null;
  /** The token that ends a text, or null (default); used if the tokenizer names none. */
  eosTokenId: number | null;
  /** The heads. Default: only head 1. */
  mtp: {
    /** Architecture of heads 2 … n: one of {@link headKindNames}. */
    kind: string;
    /** Number of heads n, 1 … 16, the next-token head included. */
    numHeads: number;
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
  tieWordEmbeddings: false,
  attentionBias: false,
  initializerRange: 0.02,
  bosTokenId: null,
  eosTokenId: null,
} as const;

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
const token = nullable(integer(0, 2 ** 31 - 1));
const positive = number(Number.MIN_VALUE);

export const MODEL_OPTIONS: Schema<ModelOptions> = {
  modelType: oneOf('llama', 'qwen2', 'qwen3'),
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
  tieWordEmbeddings: boolean,
  attentionBias: boolean,
  initializerRange: positive,
  bosTokenId: token,
  eosTokenId: token,
  mtp: object<ModelConfig['mtp']>({ kind: required(string), numHeads: required(integer(1, MAX_HEADS)) }),
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
  headKind(config.mtp.kind);
}

/** Derives the configuration of the model's blocks. */
export function blockConfig(config: ModelConfig): BlockConfig {
  return {
    hiddenSize: config.hiddenSize,
    intermediateSize: config.intermediateSize,
    heads: config.numAttentionHeads,
    kvHeads: config.numKeyValueHeads,
    headDim: config.headDim,
    rmsNormEps: config.rmsNormEps,
    qkvBias: config.attentionBias || config.modelType === 'qwen2',
    outBias: config.attentionBias && config.modelType !== 'qwen2',
    qkNorm: config.modelType === 'qwen3',
    initStd: config.initializerRange,
    residualStd: config.initializerRange / Math.sqrt(2 * config.numHiddenLayers),
  };
}
