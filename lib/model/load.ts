import { callback, check, checkOptions, path as pathChecker, type Schema } from '../check';
import { ForetokenError } from '../errors';
import { locateModel } from '../hub/locate';
import { parseJson } from '../json';
import { STORE_OPTIONS } from '../nn/checks';
import { piecesOfParameters } from '../nn/parameters';
import { device as deviceChecker } from '../tensor/checks';
import type { Device } from '../tensor/device';
import type { ModelConfig } from './config';
import { configFromJson, hasTextPart } from './config-json';
import { readDraftVocabulary } from './draft-vocabulary';
import { familyOf } from './families';
import { fitToTensors } from './fit-to-tensors';
import { isGguf, openGguf } from './gguf';
import { openDirectory } from './huggingface/source';
import { withUsualNames } from './huggingface/names';
import { MtpModel, type ModelInit } from './model';
import { moduleLayout, modulesOf } from './mtp-layouts';
import type { ModelSource } from './model-source';
import { checkPieces, readPacked, readPieces, type Offsets } from './pieces';
import { withGatesApart } from './query-gates';
import { readSafetensors } from './safetensors';
import { createTokenizer, type Tokenizer, type TokenizerFiles } from './tokenizer';
import type { WeightSource } from './weight-source';

/** Types of a loaded model, and a callback for progress. */
export interface LoadInit extends Omit<ModelInit, 'seed'> {
  /** Called after every tensor with the number of loaded weights and of all weights. */
  onProgress?: (done: { weights: number; of: number }) => void;
}

const LOAD_INIT: Schema<LoadInit> = { ...STORE_OPTIONS, onProgress: callback };

/** A model with its tokenizer. */
export interface LoadedModel {
  /** The model, on the device; the caller disposes of it. */
  model: MtpModel;
  /** The tokenizer that belongs to it. */
  tokenizer: Tokenizer;
}

/**
 * Loads a model of any family that the library has: from its directory, saved by foretoken or as Hugging Face lays it out, or from a GGUF
 * file, whose quantized weights are converted as they are read. A name on the Hugging Face Hub is that of a model in the cache, which
 * `downloadModel` or Python has put there; loading never opens a connection.
 * @param path the directory or file; or, if there is none, `owner/name` or `owner/name@revision` on the Hub
 * @param init types of the model; weights are converted to float32 or, without masters, to bfloat16 or int8
 * @throws INVALID_ARGUMENT naming the option; FILE_ACCESS, CORRUPT_FILE naming the tensor, INVALID_CONFIG naming the field
 * @example
 * ```ts
 * import { generate, loadModel, openDevice } from 'foretoken';
 *
 * using device = openDevice('cpu');
 * const { model, tokenizer } = await loadModel(device, 'models/first', { dtype: 'int8', masters: false });
 * for await (const { text } of generate(model, tokenizer, 'Hello')) process.stdout.write(text);
 * model.dispose();
 * ```
 */
export async function loadModel(device: Device, path: string, init: LoadInit = {}): Promise<LoadedModel> {
  check('loadModel: device', device, deviceChecker);
  check('loadModel: path', path, pathChecker);
  const checked = checkOptions('loadModel', init, LOAD_INIT);
  const source = await openSource(await locateModel(path));
  try {
    return await loadSource(device, source, checked);
  } finally {
    await source.weights.close();
  }
}

/** Opens a model: a GGUF file, or a directory. The caller closes its weights. */
async function openSource(path: string): Promise<ModelSource> {
  return (await isGguf(path)) ? openGguf(path) : openDirectory(path);
}

/** Loads a model from an open source. */
async function loadSource(
  device: Device,
  source: ModelSource,
  { dtype, masters, onProgress }: LoadInit,
): Promise<LoadedModel> {
  const { configPath, generationConfig } = source;
  const described = configFromJson(source.config, configPath, generationConfig);
  const tokenizer = createTokenizer(source.tokenizerFiles, source.path);
  checkTokenizer(tokenizer, described, configPath);
  const { prefix } = moduleLayout(described, 0);
  const weights = withUsualNames(source.weights, hasTextPart(source.config), prefix);
  if (described.numHiddenLayers > weights.names.length) {
    const problem = `num_hidden_layers is ${described.numHiddenLayers}, but ${weights.path} holds ${weights.names.length} tensors`;
    throw new ForetokenError('INVALID_CONFIG', `${configPath}: ${described.modelType}: ${problem}`);
  }
  const { config, weights: fitted } = await fitToTensors(
    weights,
    described,
    (source.config.mtp ?? null) !== null,
  );
  const apart = withGatesApart(fitted, config);
  // Checks the tensors before the model allocates memory, because a config may have any sizes.
  const model = new MtpModel(device, config, { dtype, masters }, (parameters) => {
    checkPieces(apart, ownerOf(config), piecesOfParameters(parameters));
  });
  try {
    await fillFrom(apart, model, onProgress);
    model.draftVocabulary = await readDraftVocabulary(source.path, config.vocabSize);
  } catch (error) {
    model.dispose();
    throw error;
  }
  model.generationConfig = generationConfig;
  return { model, tokenizer };
}

function ownerOf({ modelType }: ModelConfig): string {
  return `the model (${modelType})`;
}

/** Refuses a tokenizer with more tokens than the model, except added ones, which fail where they are used. */
function checkTokenizer({ vocabSize, files }: Tokenizer, config: ModelConfig, path: string): void {
  const beyond = vocabSize - config.vocabSize;
  if (beyond <= 0 || addedFrom(config.vocabSize, files) === beyond) return;
  const problem = `vocab_size is ${config.vocabSize}, but the tokenizer has ${vocabSize} tokens`;
  throw new ForetokenError('INVALID_CONFIG', `${path}: ${config.modelType}: ${problem}`);
}

/** Counts the added tokens from this id on. */
function addedFrom(id: number, files: TokenizerFiles): number {
  const { added_tokens: added } = parseJson(files['tokenizer.json']!) as { added_tokens?: { id: number }[] };
  return new Set((added ?? []).map((token) => token.id).filter((each) => each >= id)).size;
}

/** Decides what is added to norms whose checkpoints hold w for a factor of 1 + w. */
export function offsetsOf(config: ModelConfig, normsHoldOnePlus = false): Offsets {
  const family = familyOf(config);
  // Heads of other kinds are foretoken's own.
  const modules = config.mtp.kind === 'recursive' ? modulesOf(config) : [];
  const prefixes = ['model.', ...modules.map(({ prefix }) => prefix)];
  const isOfFamily = (name: string): boolean => prefixes.some((prefix) => name.startsWith(prefix));
  return (name) => (!normsHoldOnePlus && isOfFamily(name) && family.holdsOneLess?.(name) ? 1 : 0);
}

/**
 * Reads the weights of a directory, which foretoken has saved, into a model; the tensors must be exactly the model's.
 * @throws CORRUPT_FILE naming a tensor that is missing, unexpected, of another shape or damaged
 */
export async function loadWeights(model: MtpModel, directory: string): Promise<void> {
  const file = await readSafetensors(directory);
  try {
    const apart = withGatesApart(file, model.config);
    checkPieces(apart, ownerOf(model.config), piecesOfParameters(model.parameters.parameters));
    await fillFrom(apart, model);
  } finally {
    await file.close();
  }
}

/** Reads the tensors of a file, which must have been checked, into a model. */
async function fillFrom(
  file: WeightSource,
  { parameters, config }: MtpModel,
  onProgress?: LoadInit['onProgress'],
): Promise<void> {
  const offsets = offsetsOf(config, file.normsHoldOnePlus);
  let weights = 0;
  const onPiece = (size: number): void => {
    weights += size;
    onProgress?.({ weights, of: parameters.size });
  };
  for (const bucket of parameters.buckets) {
    await readPieces(file, { flat: bucket.value, pieces: parameters.pieces(bucket) }, offsets, onPiece);
  }
  for (const parameter of parameters.packedAlone) await readPacked(file, parameter, onPiece);
  parameters.changed();
}
