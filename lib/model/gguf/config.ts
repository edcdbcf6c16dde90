import { show } from '../../check';
import { ARCHITECTURES, type Architecture, type CommonConfig } from './architectures';
import type { GgufTensor } from './format';
import type { Metadata } from './metadata';
import { ropeScaling } from './rope';

type Json = Record<string, unknown>;

/** The tensor that holds what Llama 3's rotary frequencies are divided by. */
export const ROPE_FACTORS = 'rope_freqs.weight';

/** A model as the metadata of its file describe it. */
export interface TranslatedConfig {
  readonly architecture: Architecture;
  /** config.json, in the names of Hugging Face. */
  readonly config: Json & CommonConfig;
}

/**
 * Translates metadata to config.json.
 * @param ropeFactors contents of the tensor {@link ROPE_FACTORS}, if there is one
 * @throws INVALID_CONFIG naming a key that is missing, has a wrong value or is not known
 */
export function translateConfig(
  metadata: Metadata,
  tensors: ReadonlyMap<string, GgufTensor>,
  ropeFactors: Float32Array | undefined,
): TranslatedConfig {
  const name = metadata.required('general.architecture', metadata.string('general.architecture'));
  if (!Object.hasOwn(ARCHITECTURES, name)) {
    metadata.fail(
      'general.architecture',
      `must be one of ${Object.keys(ARCHITECTURES).join(', ')}, but is ${show(name)}`,
    );
  }
  refuseParts(metadata);
  const architecture = ARCHITECTURES[name]!;
  const key = (rest: string): string => `${name}.${rest}`;
  const integer = (rest: string): number => metadata.required(key(rest), metadata.sameInAllLayers(key(rest)));

  const nextn = metadata.integer(key('nextn_predict_layers')) ?? 0;
  const heads = integer('attention.head_count');
  const hiddenSize = integer('embedding_length');
  const headDim = metadata.integer(key('attention.key_length')) ?? hiddenSize / heads;
  const layers = integer('block_count') - nextn;
  if (layers < 1 || layers > tensors.size) {
    metadata.fail(key('block_count'), `is ${layers + nextn}, but the file has ${tensors.size} tensors`);
  }
  const common = {
    model_type: architecture.modelType,
    vocab_size: tensors.get('token_embd.weight')?.shape[0],
    hidden_size: hiddenSize,
    intermediate_size: integer('feed_forward_length'),
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: metadata.sameInAllLayers(key('attention.head_count_kv')) ?? heads,
    head_dim: headDim,
    max_position_embeddings: metadata.integer(key('context_length')),
    rms_norm_eps: metadata.required(
      key('attention.layer_norm_rms_epsilon'),
      metadata.number(key('attention.layer_norm_rms_epsilon')),
    ),
    tie_word_embeddings: !tensors.has('output.weight'),
    attention_bias: name === 'qwen2' ? undefined : hasBiases(tensors),
    num_nextn_predict_layers: nextn || undefined,
  };
  const config = {
    ...common,
    ...rope(metadata, key, headDim, ropeFactors, tensors),
    ...architecture.config?.(metadata, key, common),
  };
  checkOff(metadata, key, headDim);
  metadata.refuseOthers(`${name}.`);
  return { architecture, config: withoutUndefined(config) };
}

function hasBiases(tensors: ReadonlyMap<string, GgufTensor>): boolean {
  return tensors.has('blk.0.attn_q.bias') || tensors.has('blk.0.attn_qkv.bias');
}

function withoutUndefined<T extends object>(config: T): T {
  return Object.fromEntries(Object.entries(config).filter(([, value]) => value !== undefined)) as T;
}

/** Refuses one file of several. */
function refuseParts(metadata: Metadata): void {
  const parts = metadata.integer('split.count') ?? 1;
  if (parts > 1) metadata.fail('split.count', `is ${parts}: join the parts with llama-gguf-split --merge`);
}

function rope(
  metadata: Metadata,
  key: (rest: string) => string,
  headDim: number,
  factors: Float32Array | undefined,
  tensors: ReadonlyMap<string, GgufTensor>,
): Json {
  const theta = metadata.number(key('rope.freq_base')) ?? 10000;
  const rotated = metadata.integer(key('rope.dimension_count')) ?? headDim;
  const isLong = tensors.has('rope_factors_long.weight');
  if (isLong) metadata.take(key('rope.scaling.attn_factor'));
  return {
    rope_theta: theta,
    partial_rotary_factor: rotated === headDim ? undefined : rotated / headDim,
    // Files of Phi-3 have the factors of this scaling, but do not name it.
    rope_scaling: isLong ? { rope_type: 'longrope' } : ropeScaling(metadata, key, theta, headDim, factors),
  };
}

/** Reads keys that are harmless, or have one harmless value. */
function checkOff(metadata: Metadata, key: (rest: string) => string, headDim: number): void {
  // The number of tokens that the tokenizer knows, which may be fewer than the embedding has rows.
  metadata.take(key('vocab_size'));
  const only = (rest: string, value: unknown): void => {
    const given = metadata.take(key(rest)) ?? value;
    if (given !== value) metadata.fail(key(rest), `must be ${show(value)}, but is ${show(given)}`);
  };
  only('attention.value_length', headDim);
  only('attention.causal', true);
  only('expert_count', 0);
  only('expert_used_count', 0);
}
