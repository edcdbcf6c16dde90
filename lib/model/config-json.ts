import { arrayOf, either, integer, show, string, type Checker } from '../check';
import { ForetokenError } from '../errors';
import { isJsonObject } from '../files';
import type { ActivationDType } from '../tensor/types';
import { MODEL_OPTIONS, modelConfig, TOKEN_ID, type ModelConfig, type ModelOptions } from './config';
import { FAMILIES, familyOf, MODEL_TYPES, type ModelType } from './families';
import type { Family } from './families/family';
import { readRope, writeRope } from './families/rope-keys';
import { noWindows } from './families/windows';
import { Fields, snakeCased, type Json } from './fields';
import { HARMLESS } from './harmless-keys';

// Reads and writes config.json, in the names of Hugging Face. A key that is not read may still change what a model computes, so every
// key is either read, known to change nothing, or refused by name.

/** Options of all families that config.json has in snake case. */
const COMMON = [
  'vocabSize',
  'hiddenSize',
  'intermediateSize',
  'numHiddenLayers',
  'numAttentionHeads',
  'numKeyValueHeads',
  'headDim',
  'maxPositionEmbeddings',
  'rmsNormEps',
  'tieWordEmbeddings',
  'initializerRange',
  'bosTokenId',
] as const satisfies readonly (keyof ModelConfig)[];

/** Options of some families that have readers of their own. */
const READ_APART: readonly (keyof ModelConfig)[] = [
  'ropeLocalBaseFreq',
  'partialRotaryFactor',
  'noRopeLayers',
  'slidingWindow',
  'layerTypes',
];

/** The options that config.json of a family has one by one. */
function optionsOf({ options }: Family): (keyof ModelConfig)[] {
  return [...COMMON, ...options.filter((name) => !READ_APART.includes(name))];
}

/** Keys of features that a family does not have unless it reads them, with the values that turn them off, as null does for every key. */
const FIXED: Family['fixed'] = {
  add_cross_attention: [false],
  attention_bias: [false],
  is_encoder_decoder: [false],
  mlp_bias: [false],
  rope_interleaved: [false],
  sliding_window: [],
  tie_encoder_decoder: [false],
  use_mrope: [false],
  use_sliding_window: [false],
};

/** Keys of a multimodal model's config.json that its text model inherits if it lacks them. */
const INHERITED = ['bos_token_id', 'eos_token_id', 'tie_word_embeddings', 'quantization_config', 'mtp'];

/**
 * Writes config.json as transformers understands it, with one additional object, `mtp`.
 * @param storedDtype type of the matrices in the weights file
 */
export function configToJson(config: ModelConfig, storedDtype: ActivationDType): Json {
  const family = familyOf(config);
  const [eos, ...moreEos] = config.eosTokenIds;
  const fixed = Object.entries(family.fixed).filter(([, [usual]]) => typeof usual === 'string');
  return {
    architectures: [`${family.className}ForCausalLM`],
    model_type: config.modelType,
    ...Object.fromEntries(optionsOf(family).map((name) => [snakeCased(name), config[name]])),
    ...writeRope(config, family.options),
    ...(family.layers ?? noWindows).write(config),
    ...Object.fromEntries(fixed.map(([name, [usual]]) => [name, usual])),
    eos_token_id: moreEos.length > 0 ? config.eosTokenIds : (eos ?? null),
    torch_dtype: storedDtype,
    ...(config.mtp.kind === 'recursive' && { num_nextn_predict_layers: config.mtp.modules ?? 1 }),
    mtp: headsToJson(config.mtp),
  };
}

/**
 * Reads config.json.
 * @param path of the file, for messages
 * @param generation generation_config.json, whose end tokens count, too
 * @throws ForetokenError INVALID_CONFIG naming the file, the family and a key that is missing, has a wrong value, belongs to a feature
 * that the trunk does not have, or is not known
 */
export function configFromJson(
  json: Json,
  path = 'config.json',
  generation: Json | null = null,
): ModelConfig {
  const text = textConfig(json);
  const isPart = text !== json;
  const modelType = modelTypeOf(text, path);
  const family = FAMILIES[modelType];
  const where = `${path}: ${modelType}`;
  const fields = new Fields(where, text, family.defaults);
  checkArchitectures(fields, family, isPart);
  fields.take('model_type');
  const options: Record<string, unknown> = { modelType };
  for (const name of optionsOf(family)) {
    const value = fields.check<unknown>(snakeCased(name), MODEL_OPTIONS[name]);
    if (value !== undefined) options[name] = value;
  }
  const sizes = ['vocabSize', 'hiddenSize', 'intermediateSize', 'numHiddenLayers', 'numAttentionHeads'];
  for (const name of sizes) if (options[name] === undefined) fields.fail(snakeCased(name), 'is missing');
  Object.assign(options, {
    ...readRope(fields, family.ropeTypes, family.harmlessRopeKeys),
    ...(family.layers ?? noWindows).read(fields, options.numHiddenLayers as number),
    eosTokenIds: endTokens(fields, generation, path),
    mtp: readHeads(fields),
  });
  fields.refuseOthers(HARMLESS, { ...FIXED, ...family.fixed });
  return inWordsOfFile(where, () => modelConfig(options as ModelOptions));
}

/** Whether config.json describes a multimodal model, of which the text model is one part. */
export function hasTextPart({ text_config: text }: Json): boolean {
  return isJsonObject(text);
}

/** Returns the configuration of the text model. */
function textConfig(json: Json): Json {
  if (!hasTextPart(json)) return json;
  const text = json.text_config as Json;
  const inherited = INHERITED.filter((name) => (text[name] ?? null) === null && name in json);
  return { ...text, ...Object.fromEntries(inherited.map((name) => [name, json[name]])) };
}

function modelTypeOf(json: Json, path: string): ModelType {
  const type = json.model_type ?? 'llama';
  if (MODEL_TYPES.some((name) => name === type)) return type as ModelType;
  const problem = `model_type must be one of ${MODEL_TYPES.join(', ')}, but is ${show(type)}`;
  throw new ForetokenError('INVALID_CONFIG', `${path}: ${problem}`);
}

/** Refuses other classes that call themselves by the family's name, such as drafters for a model of the family. */
function checkArchitectures(fields: Fields, { className }: Family, isPart: boolean): void {
  const classes = fields.check('architectures', arrayOf(string)) ?? [];
  const known = ['ForCausalLM', 'Model', 'TextModel'].map((ending) => className + ending);
  if (isPart || classes.length === 0 || classes.some((name) => known.includes(name))) return;
  fields.fail('architectures', `must have "${known[0]}", but is ${show(classes)}`);
}

const END_TOKENS: Checker<number | number[]> = either(TOKEN_ID, arrayOf(TOKEN_ID));

/** Reads the tokens that end a text, of both files. */
function endTokens(fields: Fields, generation: Json | null, path: string): number[] {
  const files = [fields, ...(generation ? [new Fields(generationPath(path), generation)] : [])];
  return [...new Set(files.flatMap((file) => file.check('eos_token_id', END_TOKENS) ?? []))];
}

function generationPath(path: string): string {
  return path.replace(/[^/\\]*$/, 'generation_config.json');
}

function readHeads(fields: Fields): ModelConfig['mtp'] {
  const given = fields.object('mtp');
  const modules = given?.check('modules', integer(1));
  const heads = {
    kind: given?.check('kind', string) ?? 'parallel',
    numHeads: given?.check('num_heads', integer(1)) ?? 1,
    ...(modules !== undefined && { modules }),
  };
  given?.refuseOthers();
  return heads;
}

function headsToJson({ kind, numHeads, modules }: ModelConfig['mtp']): Json {
  return { kind, num_heads: numHeads, ...(modules !== undefined && { modules }) };
}

/** Makes errors about options name them as the file does. */
function inWordsOfFile<T>(where: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof ForetokenError)) throw error;
    const words = error.message
      .replace(/^model: /, '')
      .replace(/[a-z]+(?:[A-Z][a-z]+)+/g, (word) =>
        Object.hasOwn(MODEL_OPTIONS, word) ? snakeCased(word) : word,
      );
    throw new ForetokenError(error.code, `${where}: ${words}`, { cause: error });
  }
}
