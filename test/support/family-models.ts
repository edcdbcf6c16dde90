import type { ModelOptions } from '../../lib/model/config';
import { MtpModel, type ModelInit } from '../../lib/model/model';
import type { Device } from '../../lib/tensor/device';
import { linear } from '../../lib/tensor/ops/linear/linear';
import { scope } from '../../lib/tensor/scope';
import { Random } from './random';

const SIZES = {
  vocabSize: 257,
  hiddenSize: 64,
  intermediateSize: 96,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  maxPositionEmbeddings: 256,
  // Larger than usual, so that every part of a small model matters.
  initializerRange: 0.2,
  bosTokenId: 256,
  eosTokenIds: [256],
} as const;

/** Small models of each family, with everything that the family has. */
export const FAMILY_MODELS: Readonly<Record<string, ModelOptions>> = {
  llama: { ...SIZES, modelType: 'llama', numHiddenLayers: 2, headDim: 32, rmsNormEps: 1e-5 },
  'llama with biases and scaling of Llama 3': {
    ...SIZES,
    modelType: 'llama',
    numHiddenLayers: 2,
    attentionBias: true,
    tieWordEmbeddings: true,
    ropeTheta: 10000,
    ropeScaling: {
      ropeType: 'llama3',
      factor: 8,
      lowFreqFactor: 1,
      highFreqFactor: 4,
      originalMaxPositionEmbeddings: 64,
    },
  },
  'llama with linear scaling': {
    ...SIZES,
    modelType: 'llama',
    numHiddenLayers: 2,
    ropeScaling: { ropeType: 'linear', factor: 4 },
  },
  mistral: { ...SIZES, modelType: 'mistral', numHiddenLayers: 2 },
  qwen2: {
    ...SIZES,
    modelType: 'qwen2',
    numHiddenLayers: 2,
    ropeTheta: 1e6,
    tieWordEmbeddings: true,
    ropeScaling: { ropeType: 'yarn', factor: 4, originalMaxPositionEmbeddings: 64 },
  },
  qwen3: {
    ...SIZES,
    modelType: 'qwen3',
    numHiddenLayers: 2,
    headDim: 32,
    ropeTheta: 1e6,
    tieWordEmbeddings: true,
  },
  smollm3: {
    ...SIZES,
    modelType: 'smollm3',
    numHiddenLayers: 5,
    noRopeLayers: [1, 1, 1, 0, 1],
    tieWordEmbeddings: true,
  },
  phi3: { ...SIZES, modelType: 'phi3', numHiddenLayers: 2, partialRotaryFactor: 0.75 },
  granite: {
    ...SIZES,
    modelType: 'granite',
    numHiddenLayers: 2,
    attentionMultiplier: 0.125,
    embeddingMultiplier: 12,
    residualMultiplier: 0.5,
    logitsScaling: 8,
    tieWordEmbeddings: true,
  },
  olmo2: { ...SIZES, modelType: 'olmo2', numHiddenLayers: 2 },
  gemma3_text: {
    ...SIZES,
    modelType: 'gemma3_text',
    numHiddenLayers: 7,
    headDim: 32,
    queryPreAttnScalar: 32,
    slidingWindow: 16,
    layerTypes: Array.from({ length: 7 }, (_, layer) =>
      layer === 5 ? 'full_attention' : 'sliding_attention',
    ),
    ropeTheta: 1e6,
    ropeLocalBaseFreq: 10000,
    tieWordEmbeddings: true,
  },
};

/** Makes a model whose norms and biases are random, too. */
export async function randomModel(
  device: Device,
  options: ModelOptions,
  init: ModelInit = {},
): Promise<MtpModel> {
  const model = new MtpModel(device, options, { seed: 5, ...init });
  const random = new Random(7);
  for (const { decay, value } of model.parameters.buckets) {
    if (decay) continue;
    const values = (await value.data()) as Float32Array;
    using changed = device.tensor(values.map((each) => each + 0.4 * random.next() - 0.2));
    value.copyFrom(changed);
  }
  model.parameters.changed();
  return model;
}

/** Computes the logits of head 1 behind every token of a text: float32 [tokens · vocabSize]. */
export async function logitsOf(model: MtpModel, tokens: readonly number[]): Promise<Float32Array> {
  const { device } = model;
  model.tables.reserve(tokens.length);
  using ids = device.tensor(Int32Array.from(tokens));
  using starts = device.tensor(new Int32Array(tokens.length));
  using positions = device.tensor(Int32Array.from(tokens, (_, i) => i));
  using logits = scope(() => {
    const { hidden } = model.states(ids, { kind: 'packed', batch: 1, starts, positions });
    return linear(hidden, model.unembeddingFor(hidden), null, 'float32');
  });
  return (await logits.data()) as Float32Array;
}

const random = new Random(11);
/** The tokens that llama.cpp was given, too. */
export const PROMPT: readonly number[] = Array.from({ length: 40 }, () =>
  random.integer(SIZES.vocabSize - 1),
);
/** How many tokens are then chosen. */
export const GREEDY_TOKENS = 64;

/** Results of llama.cpp for a model: the logits behind the prompt, float32 in base64, and the tokens that it then chose greedily. */
export interface Reference {
  logits: string;
  tokens: number[];
}

/**
 * Compares a model with logits that end behind the prompt, and with greedy tokens.
 * @returns the largest difference of logits and the largest logit, and how many first tokens are alike
 */
export async function compareWithReference(
  model: MtpModel,
  logits: Float32Array,
  tokens: readonly number[],
): Promise<{ difference: number; size: number; alike: number }> {
  const ours = (await logitsOf(model, PROMPT)).subarray(-logits.length);
  const difference = ours.reduce((most, each, i) => Math.max(most, Math.abs(each - logits[i]!)), 0);
  const size = ours.reduce((most, each) => Math.max(most, Math.abs(each)), 0);
  let alike = 0;
  for (; alike < tokens.length; alike++) {
    const last = (await logitsOf(model, [...PROMPT, ...tokens.slice(0, alike)])).subarray(
      -model.config.vocabSize,
    );
    if (last.indexOf(Math.max(...last)) !== tokens[alike]) break;
  }
  return { difference, size, alike };
}
