import { show } from '../check';
import { ForetokenError } from '../errors';
import { isJsonObject } from '../files';
import type { ActivationDType } from '../tensor/types';
import { modelConfig, type ModelConfig, type ModelType } from './config';

// Reads and writes config.json, in the names of Hugging Face. A key that is not read may still change what a model computes, so every
// key is either read, known to change nothing, or refused by name.

type Json = Record<string, unknown>;

/** Keys that do not change the output of the model. */
const HARMLESS = [
  '_attn_implementation',
  '_attn_implementation_autoset',
  '_name_or_path',
  'architectures',
  'attention_dropout', // for training; foretoken trains without dropout
  'do_sample',
  'dtype',
  'is_llama_config',
  'max_length',
  'max_sequence_length',
  'output_attentions',
  'output_hidden_states',
  'pad_token_id',
  'pretraining_tp', // splits products into parts and sums them
  'return_dict',
  'temperature',
  'tokenizer_class',
  'top_p',
  'torch_dtype',
  'transformers.js_config',
  'transformers_version',
  'unsloth_fixed',
  'unsloth_version',
  'use_cache',
];

/** Keys of features that the trunk does not have, with the value that turns the feature off, as null does for every key. */
const OFF: Readonly<Record<string, unknown>> = {
  add_cross_attention: false,
  hidden_act: 'silu',
  is_encoder_decoder: false,
  mlp_bias: false,
  partial_rotary_factor: 1,
  rope_interleaved: false,
  tie_encoder_decoder: false,
  use_mrope: false,
};

const ARCHITECTURES: Record<ModelType, string> = {
  llama: 'LlamaForCausalLM',
  qwen2: 'Qwen2ForCausalLM',
  qwen3: 'Qwen3ForCausalLM',
};

/**
 * Writes config.json as any Llama reader understands it, with one additional object, `mtp`.
 * @param storedDtype type of the matrices in the weights file
 */
export function configToJson(config: ModelConfig, storedDtype: ActivationDType): Json {
  return {
    architectures: [ARCHITECTURES[config.modelType]],
    model_type: config.modelType,
    vocab_size: config.vocabSize,
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    num_hidden_layers: config.numHiddenLayers,
    num_attention_heads: config.numAttentionHeads,
    num_key_value_heads: config.numKeyValueHeads,
    head_dim: config.headDim,
    max_position_embeddings: config.maxPositionEmbeddings,
    rms_norm_eps: config.rmsNormEps,
    rope_theta: config.ropeTheta,
    tie_word_embeddings: config.tieWordEmbeddings,
    attention_bias: config.attentionBias,
    initializer_range: config.initializerRange,
    bos_token_id: config.bosTokenId,
    eos_token_id: config.eosTokenId,
    hidden_act: 'silu',
    torch_dtype: storedDtype,
    mtp: { kind: config.mtp.kind, num_heads: config.mtp.numHeads },
  };
}

/**
 * Reads config.json.
 * @throws ForetokenError INVALID_CONFIG naming a key that is missing, has a wrong value, belongs to a feature that the trunk does not
 * have, or is not known
 */
export function configFromJson(json: Json): ModelConfig {
  const fields = new Fields('', json);
  checkAttentionSpan(fields);
  const eos = fields.take('eos_token_id');
  const config = {
    modelType: (fields.take('model_type') ?? 'llama') as ModelType,
    vocabSize: fields.required('vocab_size'),
    hiddenSize: fields.required('hidden_size'),
    intermediateSize: fields.required('intermediate_size'),
    numHiddenLayers: fields.required('num_hidden_layers'),
    numAttentionHeads: fields.required('num_attention_heads'),
    numKeyValueHeads: fields.number('num_key_value_heads'),
    headDim: fields.number('head_dim'),
    maxPositionEmbeddings: fields.number('max_position_embeddings'),
    // The default of transformers, which differs from that of ModelConfig.
    rmsNormEps: fields.number('rms_norm_eps') ?? 1e-6,
    ropeTheta: ropeTheta(fields),
    tieWordEmbeddings: fields.flag('tie_word_embeddings'),
    attentionBias: fields.flag('attention_bias'),
    initializerRange: fields.number('initializer_range'),
    bosTokenId: fields.number('bos_token_id') ?? null,
    eosTokenId: ((Array.isArray(eos) ? eos[0] : eos) ?? null) as number | null,
    mtp: mtp(fields),
  };
  fields.refuseOthers();
  return modelConfig(config);
}

/** Refuses attention to fewer than all earlier positions. Files of Qwen2 have a window even if it is off. */
function checkAttentionSpan(fields: Fields): void {
  const window = fields.take('sliding_window');
  const usesWindow = fields.flag('use_sliding_window');
  fields.take('max_window_layers'); // the number of layers without the window
  if (usesWindow) fields.fail('use_sliding_window', 'must be false, but is true');
  if (window !== undefined && usesWindow === undefined) {
    fields.fail(
      'sliding_window',
      `is ${show(window)}, which is supported only with use_sliding_window false`,
    );
  }
  const types = fields.take('layer_types') ?? [];
  if (!Array.isArray(types)) fields.fail('layer_types', `must be an array, but is ${show(types)}`);
  const other: unknown = (types as unknown[]).find((type) => type !== 'full_attention');
  if (other !== undefined)
    fields.fail('layer_types', `must all be "full_attention", but one is ${show(other)}`);
}

/**
 * Reads the base of the rotary angles, `rope_theta`, which transformers 5 writes into `rope_parameters`. Older files have
 * `rope_scaling` for changed angles, which the trunk does not have.
 */
function ropeTheta(fields: Fields): number | undefined {
  let theta = fields.number('rope_theta');
  for (const name of ['rope_parameters', 'rope_scaling']) {
    const rope = fields.object(name);
    if (!rope) continue;
    for (const tag of ['rope_type', 'type']) {
      const type = rope.take(tag) ?? 'default';
      if (type !== 'default') rope.fail(tag, `must be "default", but is ${show(type)}`);
    }
    const inside = rope.number('rope_theta');
    if (theta !== undefined && inside !== undefined && inside !== theta) {
      rope.fail('rope_theta', `is ${inside}, but rope_theta is ${theta}`);
    }
    theta ??= inside;
    rope.refuseOthers();
  }
  return theta;
}

function mtp(fields: Fields): ModelConfig['mtp'] {
  const given = fields.object('mtp');
  const heads = {
    kind: (given?.take('kind') ?? 'parallel') as string,
    numHeads: given?.number('num_heads') ?? 1,
  };
  given?.refuseOthers();
  return heads;
}

/** Reads each key of a JSON object once, and finds the keys that were not read. A key with null counts as missing. */
class Fields {
  readonly #left: Map<string, unknown>;

  constructor(
    private readonly prefix: string,
    json: Json,
  ) {
    this.#left = new Map(Object.entries(json));
  }

  take(name: string): unknown {
    const value = this.#left.get(name) ?? undefined;
    this.#left.delete(name);
    return value;
  }

  number(name: string): number | undefined {
    const value = this.take(name);
    if (value !== undefined && typeof value !== 'number') {
      this.fail(name, `must be a number, but is ${show(value)}`);
    }
    return value;
  }

  required(name: string): number {
    return this.number(name) ?? this.fail(name, 'is missing');
  }

  flag(name: string): boolean | undefined {
    const value = this.take(name);
    if (value !== undefined && typeof value !== 'boolean') {
      this.fail(name, `must be true or false, but is ${show(value)}`);
    }
    return value;
  }

  object(name: string): Fields | undefined {
    const value = this.take(name);
    if (value === undefined) return undefined;
    if (!isJsonObject(value)) return this.fail(name, `must be an object, but is ${show(value)}`);
    return new Fields(`${this.prefix}${name}.`, value);
  }

  /** Refuses keys that were not read, unless they change nothing. */
  refuseOthers(): void {
    for (const [name, value] of this.#left) {
      if (value === null || HARMLESS.includes(name) || OFF[name] === value) continue;
      const known = Object.hasOwn(OFF, name);
      this.fail(
        name,
        known
          ? `must be ${show(OFF[name])}, but is ${show(value)}`
          : `is not known, and may change what the model computes (given: ${show(value)})`,
      );
    }
  }

  fail(name: string, problem: string): never {
    throw new ForetokenError('INVALID_CONFIG', `config.json: ${this.prefix}${name} ${problem}`);
  }
}
