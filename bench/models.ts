import { MtpModel } from '../lib/model/model';
import type { ModelOptions } from '../lib/model/config';
import type { ModelCache } from '../lib/nn/model-cache';
import type { Setup } from './harness';

/** Makes a byte-level model with random weights. */
export function randomModel(
  { device, dtype }: Setup,
  options: Partial<ModelOptions> & { layers: number; hidden: number },
  { masters }: { masters?: boolean } = {},
): MtpModel {
  const { layers, hidden, ...rest } = options;
  return new MtpModel(
    device,
    {
      vocabSize: 257,
      hiddenSize: hidden,
      numHiddenLayers: layers,
      numAttentionHeads: hidden / 64,
      tieWordEmbeddings: true,
      maxPositionEmbeddings: 1024,
      ...rest,
    },
    { seed: 1, dtype, masters },
  );
}

export function emptyCache(model: MtpModel, capacity: number): ModelCache {
  const cache = model.createCache(capacity);
  cache.reserve(0, capacity);
  return cache;
}

/** Floating-point operations of one token's forward pass: products with weights, and attention over `context`. */
export function forwardFlops(model: MtpModel, context: number): number {
  const { numHiddenLayers, numAttentionHeads, headDim, vocabSize, hiddenSize } = model.config;
  const matrices = model.parameters.parameters
    .filter((parameter) => parameter.decay && parameter !== model.unembedding)
    .reduce((sum, parameter) => sum + parameter.size, 0);
  const attention = 2 * numHiddenLayers * numAttentionHeads * headDim * context;
  return 2 * (matrices + model.numHeads * vocabSize * hiddenSize + attention);
}
