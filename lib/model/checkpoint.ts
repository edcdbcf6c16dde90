import { readdir, readlink, realpath, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { callback, check, checkOptions, instance, path as pathChecker, type Schema } from '../check';
import { ForetokenError } from '../errors';
import { piecesOfParameters, type BucketPiece, type Parameter } from '../nn/parameters';
import type { DType } from '../tensor/types';
import { STORE_OPTIONS } from '../nn/checks';
import { device as deviceChecker } from '../tensor/checks';
import type { Device } from '../tensor/device';
import { embedding } from '../tensor/ops/layers/embedding';
import type { Tensor } from '../tensor/tensor';
import type { ModelConfig } from './config';
import { configFromJson, configToJson } from './config-json';
import { fileAccessError, isJsonObject, readJson, writeDirectoryAtomic, writeFileAtomic } from '../files';
import { MtpModel, type ModelInit } from './model';
import { replaceFiles } from '../replace-files';
import {
  readSafetensors,
  shardFiles,
  writeSafetensors,
  type NamedTensor,
  type SafetensorsDType,
  type SafetensorsFile,
} from './safetensors';
import { loadTokenizer, saveTokenizer, TOKENIZER, TOKENIZER_FILES, type Tokenizer } from './tokenizer';

// A model's directory, as Hugging Face lays it out: config.json, model.safetensors (or shards with an index) and
// tokenizer.json. Ours add the `mtp` object of config.json and the `mtp.*` tensors, which other readers do not see.

const CONFIG_NAME = 'config.json';
const WEIGHTS_NAME = 'model.safetensors';
/** Says where a training run stands. */
export const STATE_NAME = 'trainer_state.json';
/** The optimizer's state, beside the model of a training run. */
export const OPTIMIZER_NAME = 'optimizer.safetensors';

/** Tensors of other people's checkpoints that the model has no use for: rotary frequencies follow from the config. */
const IGNORED = '.rotary_emb.inv_freq';

const FLOATS: Partial<Record<SafetensorsDType, DType>> = {
  F32: 'float32',
  BF16: 'bfloat16',
  F16: 'float16',
};

/** Writes the files of a model into a directory that exists; only each file is atomic. */
export async function writeModelFiles(
  directory: string,
  model: MtpModel,
  tokenizer: Tokenizer,
): Promise<void> {
  const { parameters } = model;
  if (parameters.storedDtype === 'int8') {
    const advice = 'save it in another dtype, and load it in int8';
    throw new ForetokenError('UNSUPPORTED', `a model in int8 cannot be saved: ${advice}`);
  }
  const config = `${JSON.stringify(configToJson(model.config, parameters.storedDtype), null, 2)}\n`;
  await writeFileAtomic(join(directory, CONFIG_NAME), config);
  await saveTokenizer(directory, tokenizer);
  const tensors = [
    ...parameters.packedAlone.flatMap((parameter) => piecesOfPacked(parameter)),
    ...parameters.buckets.flatMap((bucket) => piecesOf(bucket.value, parameters.pieces(bucket))),
  ];
  // Readers of PyTorch models want to be told whose conventions these are.
  await writeSafetensors(join(directory, WEIGHTS_NAME), tensors, { format: 'pt' });
}

/**
 * Writes a model's directory. A new one appears all at once. In one that is there the model is replaced (its config.json, weights
 * in one file or in shards, and the tokenizer's files), and everything else stays; until all of the new model is on the disk, the
 * old one can be loaded. A link to a directory is followed.
 * @throws INVALID_ARGUMENT when there is something else than a model in the directory, or a checkpoint of a training run, whose
 * other files would no longer belong to the weights; UNSUPPORTED for a model in int8; FILE_ACCESS when the system refuses
 * @example
 * ```ts
 * import { loadModel, openDevice, saveModel } from 'foretoken';
 *
 * using device = openDevice('cpu');
 * const { model, tokenizer } = await loadModel(device, 'runs/first/checkpoint-2000');
 * await saveModel('models/first', model, tokenizer);
 * ```
 */
export async function saveModel(directory: string, model: MtpModel, tokenizer: Tokenizer): Promise<void> {
  check('saveModel: directory', directory, pathChecker);
  check('saveModel: model', model, instance(MtpModel));
  check('saveModel: tokenizer', tokenizer, TOKENIZER);
  const target = await followLinks(directory);
  const fill = (temporary: string): Promise<void> => writeModelFiles(temporary, model, tokenizer);
  const exists = await stat(target).catch(() => undefined);
  if (!exists) return writeDirectoryAtomic(target, fill);
  // Hidden files, such as those of git, are part of no model.
  const entries = (await namesIn(target)).filter((name) => !name.startsWith('.'));
  const shards = await shardFiles(target);
  // A save that was killed may have left a model without its config.json, or only some of its small files.
  const isOurs = (name: string): boolean => name === CONFIG_NAME || TOKENIZER_FILES.includes(name);
  const hasModel = entries.includes(WEIGHTS_NAME) || shards.length > 0 || entries.every(isOurs);
  const problem = entries.includes(STATE_NAME)
    ? 'it holds a checkpoint of a training run; give another directory'
    : 'it holds other files than a model; give a new or empty directory';
  if (entries.includes(STATE_NAME) || !hasModel) {
    throw new ForetokenError('INVALID_ARGUMENT', `cannot save a model to ${directory}: ${problem}`);
  }
  const obsolete = TOKENIZER_FILES.filter((name) => !Object.hasOwn(tokenizer.files, name));
  await replaceFiles(target, CONFIG_NAME, obsolete, fill);
  // Readers take the one file where there is one, so nothing depends on when these go.
  for (const name of shards) if (name !== WEIGHTS_NAME) await rm(join(target, name), { force: true });
}

/** Where a path leads, through links whose end need not be there yet. */
async function followLinks(path: string): Promise<string> {
  return realpath(path).catch(async (error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw fileAccessError('read', path, error);
    const link = await readlink(path).catch(() => undefined);
    if (link === undefined) return path;
    return followLinks(resolve(await realpath(dirname(path)), link));
  });
}

/** What a model that is loaded is to compute in, and who is told how far that is. */
export interface LoadInit extends Omit<ModelInit, 'seed'> {
  /** Told after every tensor how many weights are loaded, of how many. */
  onProgress?: (done: { weights: number; of: number }) => void;
}

const LOAD_INIT: Schema<LoadInit> = { ...STORE_OPTIONS, onProgress: callback };

/**
 * Opens a model's directory: ours, or another's of the Llama family.
 * @param init what it is to compute in; whatever the files hold becomes float32, or without masters bfloat16 or int8
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
export async function loadModel(
  device: Device,
  directory: string,
  init: LoadInit = {},
): Promise<{
  /** The model, on the device; the caller disposes it. */
  model: MtpModel;
  /** The tokenizer in the same directory. */
  tokenizer: Tokenizer;
}> {
  check('loadModel: device', device, deviceChecker);
  check('loadModel: directory', directory, pathChecker);
  const { dtype, masters, onProgress } = checkOptions('loadModel', init, LOAD_INIT);
  const path = join(directory, CONFIG_NAME);
  const json = await readJson(path);
  if (!isJsonObject(json)) throw new ForetokenError('INVALID_CONFIG', `${path}: not a JSON object`);
  const config = configFromJson(json);
  const tokenizer = await loadTokenizer(directory);
  if (tokenizer.vocabSize > config.vocabSize) {
    const problem = `vocab_size is ${config.vocabSize}, but the tokenizer has ${tokenizer.vocabSize} tokens`;
    throw new ForetokenError('INVALID_CONFIG', `${path}: ${problem}`);
  }
  const file = await readSafetensors(directory);
  let model: MtpModel | undefined;
  try {
    if (config.numHiddenLayers > file.names.length) {
      const problem = `num_hidden_layers is ${config.numHiddenLayers}, but ${file.path} holds ${file.names.length} tensors`;
      throw new ForetokenError('INVALID_CONFIG', `${path}: ${problem}`);
    }
    // Checked before there is memory for the parameters: the sizes of a config may be anything.
    model = new MtpModel(device, config, { dtype, masters }, (parameters) => {
      checkPieces(file, namesFor(file, config), piecesOfParameters(parameters));
    });
    await fillFrom(file, model, onProgress);
  } catch (error) {
    model?.dispose();
    throw error;
  } finally {
    await file.close();
  }
  return { model, tokenizer };
}

/** The tensors of a file that a model has to have a place for. */
function namesFor(file: SafetensorsFile, { tieWordEmbeddings }: ModelConfig): string[] {
  return file.names.filter(
    (name) => !name.endsWith(IGNORED) && !(tieWordEmbeddings && name === 'lm_head.weight'),
  );
}

/**
 * Fills a model with the weights of a directory, which must be exactly the model's.
 * @throws CORRUPT_FILE naming the tensor that is missing, not expected, of another shape or damaged
 */
export async function loadWeights(model: MtpModel, directory: string): Promise<void> {
  const { parameters, config } = model;
  const file = await readSafetensors(directory);
  try {
    checkPieces(file, namesFor(file, config), piecesOfParameters(parameters.parameters));
    await fillFrom(file, model);
  } finally {
    await file.close();
  }
}

/** Fills a model with the tensors of a file, which were checked to be exactly the model's. */
async function fillFrom(
  file: SafetensorsFile,
  { parameters, device }: MtpModel,
  onProgress?: LoadInit['onProgress'],
): Promise<void> {
  let weights = 0;
  const onPiece = (size: number): void => {
    weights += size;
    onProgress?.({ weights, of: parameters.size });
  };
  for (const bucket of parameters.buckets) {
    await readPieces(file, { flat: bucket.value, pieces: parameters.pieces(bucket) }, onPiece);
  }
  // One at a time, so that there is never more than one matrix in another type.
  for (const parameter of parameters.packedAlone) {
    using flat = device.empty([parameter.size]);
    await readPieces(file, { flat, pieces: piecesOfParameters([parameter]) }, onPiece);
    parameters.pack(parameter, flat);
  }
  parameters.changed();
}

/** A flat tensor and what lies in it. */
export interface FlatPieces {
  readonly flat: Tensor;
  readonly pieces: readonly BucketPiece[];
}

/** The pieces of a flat tensor, to be written one after another. */
export function piecesOf(flat: Tensor, pieces: readonly BucketPiece[]): NamedTensor[] {
  return pieces.map(({ name, shape, offset }) => ({
    name,
    shape,
    dtype: flat.dtype === 'bfloat16' ? 'BF16' : 'F32',
    data: async () => {
      using view = flat.view(offset, shape);
      return (await view.data()) as Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer>;
    },
  }));
}

/** The pieces of a matrix that is kept packed in bfloat16 alone. */
function piecesOfPacked({ value, parts }: Parameter): NamedTensor[] {
  let before = 0;
  return parts.map(({ name, shape }) => {
    const rows = Int32Array.from({ length: shape[0]! }, (_, row) => before + row);
    before += rows.length;
    return {
      name,
      shape,
      dtype: 'BF16',
      data: async () => {
        using index = value.device.tensor(rows);
        using unpacked = embedding(index, value);
        using rounded = unpacked.cast('bfloat16');
        return (await rounded.data()) as Uint16Array<ArrayBuffer>;
      },
    };
  });
}

/**
 * Makes sure that the tensors `names` of a file are exactly these pieces.
 * @throws CORRUPT_FILE naming the tensor that is missing, not expected or of another shape or type
 */
export function checkPieces(
  file: SafetensorsFile,
  names: readonly string[],
  pieces: readonly BucketPiece[],
): void {
  const fail = (name: string, problem: string): never => {
    throw new ForetokenError('CORRUPT_FILE', `${file.path}: tensor "${name}": ${problem}`);
  };
  const unexpected = new Set(names);
  for (const { name, shape } of pieces) {
    if (!unexpected.delete(name)) fail(name, 'it is missing');
    const info = file.info(name);
    if (info.shape.join() !== shape.join()) {
      fail(name, `its shape is [${info.shape.join(', ')}], but the model needs [${shape.join(', ')}]`);
    }
    if (!FLOATS[info.dtype]) fail(name, `its dtype is ${info.dtype}; F32, BF16 and F16 can be read`);
  }
  for (const name of unexpected) fail(name, 'the model has no place for it');
}

/**
 * Reads pieces, which were checked, into a flat tensor.
 * @param onPiece told the elements of each piece that was read
 * @throws CORRUPT_FILE naming the tensor whose data are damaged
 */
export async function readPieces(
  file: SafetensorsFile,
  { flat, pieces }: FlatPieces,
  onPiece?: (size: number) => void,
): Promise<void> {
  for (const { name, shape, offset } of pieces) {
    const data = (await file.read(name)) as Float32Array | Uint16Array;
    using stored = flat.device.tensor(data, shape, FLOATS[file.info(name).dtype]);
    using values = stored.dtype === flat.dtype ? stored.detach() : stored.cast(flat.dtype);
    using view = flat.view(offset, shape);
    view.copyFrom(values);
    onPiece?.(view.size);
  }
}

/** None when there is no such directory. */
async function namesIn(directory: string): Promise<string[]> {
  return readdir(directory).catch((cause: unknown): string[] => {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw fileAccessError('read', directory, cause);
  });
}

const CHECKPOINT_NAME = /^checkpoint-(\d+)$/;

const CHECKPOINT_FILES = [CONFIG_NAME, WEIGHTS_NAME, OPTIMIZER_NAME, STATE_NAME];

/** The whole checkpoints in a training run's directory, oldest first; other directories of such names do not count. */
export async function listCheckpoints(directory: string): Promise<{ step: number; path: string }[]> {
  const found = [];
  for (const name of await namesIn(directory)) {
    const step = CHECKPOINT_NAME.exec(name)?.[1];
    if (step === undefined) continue;
    const path = join(directory, name);
    // What is no directory holds nothing, and neither does one that was deleted just now.
    const files = await readdir(path).catch((): string[] => []);
    if (CHECKPOINT_FILES.every((file) => files.includes(file))) found.push({ step: Number(step), path });
  }
  return found.sort((a, b) => a.step - b.step);
}

/**
 * The directory that `path` stands for: itself, or the newest checkpoint of a training run's directory.
 * @param file must lie in a directory that is meant itself. Default: config.json, which models have.
 * @throws FILE_ACCESS when it is neither
 */
export async function findModel(path: string, file = CONFIG_NAME): Promise<string> {
  const entries = await readdir(path).catch((cause: unknown) => {
    throw fileAccessError('read', path, cause);
  });
  if (entries.includes(file)) return path;
  const newest = (await listCheckpoints(path)).at(-1);
  if (newest) return newest.path;
  throw new ForetokenError('FILE_ACCESS', `${path}: there is neither a ${file} nor a whole checkpoint in it`);
}
