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

// Reads and writes a model's directory as Hugging Face lays it out: config.json, model.safetensors (or shards with an index) and
// tokenizer.json. foretoken adds the `mtp` object of config.json and the `mtp.*` tensors, which other readers ignore.

const CONFIG_NAME = 'config.json';
const WEIGHTS_NAME = 'model.safetensors';
/** The state of a training run, beside the model. */
export const STATE_NAME = 'trainer_state.json';
/** The optimizer's state of a training run, beside the model. */
export const OPTIMIZER_NAME = 'optimizer.safetensors';

/** Ending of tensors in others' checkpoints that the model does not need: rotary frequencies follow from the config. */
const IGNORED = '.rotary_emb.inv_freq';

const FLOATS: Partial<Record<SafetensorsDType, DType>> = {
  F32: 'float32',
  BF16: 'bfloat16',
  F16: 'float16',
};

/** Writes the files of a model into an existing directory. Each file is written atomically, but not all together. */
export async function writeModelFiles(
  directory: string,
  model: MtpModel,
  tokenizer: Tokenizer,
): Promise<void> {
  const { parameters } = model;
  if (parameters.storedDtype === 'int8') {
    const advice = 'save it in another dtype and load that in int8';
    throw new ForetokenError('UNSUPPORTED', `a model in int8 cannot be saved: ${advice}`);
  }
  const config = `${JSON.stringify(configToJson(model.config, parameters.storedDtype), null, 2)}\n`;
  await writeFileAtomic(join(directory, CONFIG_NAME), config);
  await saveTokenizer(directory, tokenizer);
  const tensors = [
    ...parameters.packedAlone.flatMap((parameter) => piecesOfPacked(parameter)),
    ...parameters.buckets.flatMap((bucket) => piecesOf(bucket.value, parameters.pieces(bucket))),
  ];
  // Readers of PyTorch models require the format.
  await writeSafetensors(join(directory, WEIGHTS_NAME), tensors, { format: 'pt' });
}

/**
 * Writes a model's directory. A new directory appears complete. In an existing directory the model's files are replaced (config.json,
 * weights in one file or in shards, and the tokenizer's files), and other files stay; the old model can be loaded until the new one is
 * complete on the disk. A link to a directory is followed.
 * @throws INVALID_ARGUMENT if the directory holds files but no model, or a checkpoint of a training run, whose other files would no
 * longer match the weights; UNSUPPORTED for a model in int8; FILE_ACCESS if the system refuses
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
  // Hidden files, such as those of git, do not belong to a model.
  const entries = (await namesIn(target)).filter((name) => !name.startsWith('.'));
  const shards = await shardFiles(target);
  // A save that was killed may have left a model without its config.json, or only some of its small files.
  const isOurs = (name: string): boolean => name === CONFIG_NAME || TOKENIZER_FILES.includes(name);
  const hasModel = entries.includes(WEIGHTS_NAME) || shards.length > 0 || entries.every(isOurs);
  const problem = entries.includes(STATE_NAME)
    ? 'it holds a checkpoint of a training run; choose another directory'
    : 'it holds files but no model; choose a new or empty directory';
  if (entries.includes(STATE_NAME) || !hasModel) {
    throw new ForetokenError('INVALID_ARGUMENT', `cannot save a model to ${directory}: ${problem}`);
  }
  const obsolete = TOKENIZER_FILES.filter((name) => !Object.hasOwn(tokenizer.files, name));
  await replaceFiles(target, CONFIG_NAME, obsolete, fill);
  // The order does not matter: readers ignore shards if there is a single file.
  for (const name of shards) if (name !== WEIGHTS_NAME) await rm(join(target, name), { force: true });
}

/** Resolves links in a path; the last link may lead to a path that does not exist yet. */
async function followLinks(path: string): Promise<string> {
  return realpath(path).catch(async (error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw fileAccessError('read', path, error);
    const link = await readlink(path).catch(() => undefined);
    if (link === undefined) return path;
    return followLinks(resolve(await realpath(dirname(path)), link));
  });
}

/** Types of a loaded model, and a callback for progress. */
export interface LoadInit extends Omit<ModelInit, 'seed'> {
  /** Called after every tensor with the number of loaded weights and of all weights. */
  onProgress?: (done: { weights: number; of: number }) => void;
}

const LOAD_INIT: Schema<LoadInit> = { ...STORE_OPTIONS, onProgress: callback };

/**
 * Loads a model from its directory, saved by foretoken or any other model of the Llama family.
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
export async function loadModel(
  device: Device,
  directory: string,
  init: LoadInit = {},
): Promise<{
  /** The model, on the device; the caller disposes of it. */
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
    // Checks the tensors before the model allocates memory, because a config may have any sizes.
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

/** Lists the tensors of a file that the model must have. */
function namesFor(file: SafetensorsFile, { tieWordEmbeddings }: ModelConfig): string[] {
  return file.names.filter(
    (name) => !name.endsWith(IGNORED) && !(tieWordEmbeddings && name === 'lm_head.weight'),
  );
}

/**
 * Reads the weights of a directory into a model; the tensors must be exactly the model's.
 * @throws CORRUPT_FILE naming a tensor that is missing, unexpected, of another shape or damaged
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

/** Reads the tensors of a file, which must have been checked, into a model. */
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
  // One at a time, so that at most one matrix exists unpacked.
  for (const parameter of parameters.packedAlone) {
    using flat = device.empty([parameter.size]);
    await readPieces(file, { flat, pieces: piecesOfParameters([parameter]) }, onPiece);
    parameters.pack(parameter, flat);
  }
  parameters.changed();
}

/** A flat tensor and the pieces in it. */
export interface FlatPieces {
  readonly flat: Tensor;
  readonly pieces: readonly BucketPiece[];
}

/** Lists the pieces of a flat tensor for writing. */
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

/** Lists the pieces of a matrix that is kept only packed, in bfloat16, for writing. */
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
 * Checks that the tensors `names` of a file are exactly these pieces.
 * @throws CORRUPT_FILE naming a tensor that is missing, unexpected or of another shape or type
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
    if (!FLOATS[info.dtype]) fail(name, `its dtype must be F32, BF16 or F16, but is ${info.dtype}`);
  }
  for (const name of unexpected) fail(name, 'the model has no such tensor');
}

/**
 * Reads pieces, which must have been checked, into a flat tensor.
 * @param onPiece called with the number of elements of each piece
 * @throws CORRUPT_FILE naming a tensor whose data are damaged
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

/** Lists the names in a directory; none if the directory does not exist. */
async function namesIn(directory: string): Promise<string[]> {
  return readdir(directory).catch((cause: unknown): string[] => {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw fileAccessError('read', directory, cause);
  });
}

const CHECKPOINT_NAME = /^checkpoint-(\d+)$/;

const CHECKPOINT_FILES = [CONFIG_NAME, WEIGHTS_NAME, OPTIMIZER_NAME, STATE_NAME];

/** Lists the complete checkpoints in a training run's directory, oldest first, without directories that lack some of their files. */
export async function listCheckpoints(directory: string): Promise<{ step: number; path: string }[]> {
  const found = [];
  for (const name of await namesIn(directory)) {
    const step = CHECKPOINT_NAME.exec(name)?.[1];
    if (step === undefined) continue;
    const path = join(directory, name);
    // A file of that name, or a directory that was deleted just now, has no files.
    const files = await readdir(path).catch((): string[] => []);
    if (CHECKPOINT_FILES.every((file) => files.includes(file))) found.push({ step: Number(step), path });
  }
  return found.sort((a, b) => a.step - b.step);
}

/**
 * Finds a model: `path` itself, or the newest checkpoint in the directory of a training run.
 * @param file name of a file that identifies `path` itself. Default: config.json
 * @throws FILE_ACCESS if `path` has neither this file nor a checkpoint
 */
export async function findModel(path: string, file = CONFIG_NAME): Promise<string> {
  const entries = await readdir(path).catch((cause: unknown) => {
    throw fileAccessError('read', path, cause);
  });
  if (entries.includes(file)) return path;
  const newest = (await listCheckpoints(path)).at(-1);
  if (newest) return newest.path;
  throw new ForetokenError('FILE_ACCESS', `${path}: it has neither a ${file} nor a complete checkpoint`);
}
