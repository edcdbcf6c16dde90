import { isDeepStrictEqual } from 'node:util';
import { ForetokenError } from '../../errors';
import { ropeFrequencies, type RopeScaling } from '../../nn/rope-frequencies';
import { layerConfig, type ModelConfig } from '../config';
import { ARCHITECTURES } from './architectures';
import type { MetadataWriter } from './encode';
import { llama3Factors } from './rope';

/** Architectures by model type that GGUF stores under another name. */
const OTHERS: Readonly<Record<string, string>> = { mistral: 'llama' };

/**
 * Returns the `general.architecture` of a model.
 * @throws UNSUPPORTED for what llama.cpp does not compute in this architecture
 */
export function architectureOf(config: ModelConfig): string {
  const { modelType } = config;
  const named = Object.keys(ARCHITECTURES).find((name) => ARCHITECTURES[name]!.modelType === modelType);
  const name = OTHERS[modelType] ?? named;
  const refuse = (problem: string): never => {
    throw new ForetokenError('UNSUPPORTED', `saveGguf: llama.cpp has no place for ${problem} (${modelType})`);
  };
  if (name === undefined) return refuse('models of this family');
  const { layerTypes, slidingWindow, ropeScaling, noRopeLayers, headDim } = config;
  // llama.cpp's own converter writes Phi-3's window, too, although llama.cpp does without it for now.
  const ownWindow = name === 'gemma3' || (name === 'phi3' && !layerTypes);
  if (slidingWindow !== null && !ownWindow) refuse('a sliding window');
  if (config.attentionBias && !['llama', 'granite'].includes(name)) refuse('biases in attention');
  const usual = (layer: number): number => ((layer + 1) % 4 === 0 ? 0 : 1);
  const rotates = noRopeLayers ?? new Array<number>(config.numHiddenLayers).fill(1);
  if (name === 'smollm3' && rotates.some((each, layer) => each !== usual(layer))) {
    refuse('any choice of layers without rotary positions but every fourth');
  }
  if (['qwen2', 'phi3', 'olmo2'].includes(name) && headDim * config.numAttentionHeads !== config.hiddenSize) {
    refuse('heads whose width together is not that of the model');
  }
  if (name === 'gemma3' && (config.queryPreAttnScalar ?? headDim) !== headDim) {
    refuse('scores that are not scaled by the width of a head');
  }
  // llama.cpp scales the angles of the other layers alone.
  if (name === 'gemma3' && slidingWindow !== null && ropeScaling && config.ropeLocalBaseFreq === null) {
    refuse('rope scaling in layers with a window');
  }
  if (name === 'olmo2' && config.tieWordEmbeddings) refuse('one matrix for embedding and unembedding');
  if (ropeScaling?.ropeType === 'llama3' && !['llama', 'granite'].includes(name)) {
    refuse('the rope scaling llama3');
  }
  if (ropeScaling?.ropeType === 'yarn' && !isUsualYarn(config, ropeScaling)) {
    refuse('options of the rope scaling yarn but its factor and the positions of pretraining');
  }
  return name;
}

/** Whether the angles of YaRN are those that llama.cpp computes: it takes the usual numbers, whatever the file says. */
function isUsualYarn(config: ModelConfig, scaling: Extract<RopeScaling, { ropeType: 'yarn' }>): boolean {
  const { factor, originalMaxPositionEmbeddings } = scaling;
  const { headDim: rotatedDim, ropeTheta: theta, maxPositionEmbeddings: maxPositions } = config;
  const options = { rotatedDim, theta, maxPositions };
  const usual = { ropeType: 'yarn', factor, originalMaxPositionEmbeddings } as const;
  return isDeepStrictEqual(
    ropeFrequencies({ ...options, scaling }),
    ropeFrequencies({ ...options, scaling: usual }),
  );
}

/** Writes the sizes of a model and all else that its forward pass depends on. */
export function writeConfig(metadata: MetadataWriter, name: string, config: ModelConfig): void {
  const key = (rest: string): string => `${name}.${rest}`;
  const uint32 = (rest: string, value: number | undefined): void => metadata.uint32(key(rest), value);
  const float32 = (rest: string, value: number | undefined): void => metadata.float32(key(rest), value);
  uint32('vocab_size', config.vocabSize);
  uint32('context_length', config.maxPositionEmbeddings);
  uint32('embedding_length', config.hiddenSize);
  uint32('block_count', config.numHiddenLayers);
  uint32('feed_forward_length', config.intermediateSize);
  uint32('attention.head_count', config.numAttentionHeads);
  uint32('attention.head_count_kv', config.numKeyValueHeads);
  uint32('attention.key_length', config.headDim);
  uint32('attention.value_length', config.headDim);
  float32('attention.layer_norm_rms_epsilon', config.rmsNormEps);
  uint32('rope.dimension_count', config.headDim * config.partialRotaryFactor);
  float32('rope.freq_base', config.ropeTheta);
  writeScaling(metadata, key, config);
  if (name === 'granite') {
    float32('attention.scale', layerConfig(config, 0).block.scoreScale);
    float32('embedding_scale', config.embeddingMultiplier);
    float32('residual_scale', config.residualMultiplier);
    float32('logit_scale', config.logitsScaling);
  }
  // llama.cpp's Phi-3 wants the key even without a window.
  if (name === 'phi3') uint32('attention.sliding_window', config.slidingWindow ?? 0);
  if (name === 'gemma3') {
    uint32('attention.sliding_window', config.slidingWindow ?? undefined);
    metadata.flags(
      key('attention.sliding_window_pattern'),
      Array.from(
        { length: config.numHiddenLayers },
        (_, layer) => layerConfig(config, layer).block.window !== null,
      ),
    );
    float32('rope.freq_base_swa', config.ropeLocalBaseFreq ?? config.ropeTheta);
  }
}

function writeScaling(
  metadata: MetadataWriter,
  key: (rest: string) => string,
  { ropeScaling: scaling }: ModelConfig,
): void {
  // Factors of Llama 3 lie in a tensor.
  if (!scaling || scaling.ropeType === 'llama3') return;
  metadata.string(key('rope.scaling.type'), scaling.ropeType);
  metadata.float32(key('rope.scaling.factor'), scaling.factor);
  if (scaling.ropeType !== 'yarn') return;
  metadata.uint32(
    key('rope.scaling.original_context_length'),
    scaling.originalMaxPositionEmbeddings ?? undefined,
  );
}

/** Computes what rotary frequencies are divided by, for a model with Llama 3's scaling; undefined for others. */
export function ropeFactorsOf({ ropeScaling, headDim, ropeTheta }: ModelConfig): Float32Array | undefined {
  if (ropeScaling?.ropeType !== 'llama3') return undefined;
  return Float32Array.from(llama3Factors(ropeScaling, ropeTheta, headDim));
}
