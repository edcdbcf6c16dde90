import { readdir, readlink, realpath, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { check, instance, path as pathChecker } from '../check';
import { ForetokenError } from '../errors';
import { fileAccessError, writeDirectoryAtomic, writeFileAtomic } from '../files';
import { DRAFT_VOCABULARY_NAME, writeDraftVocabulary } from './draft-vocabulary';
import { replaceFiles } from '../replace-files';
import type { ActivationDType } from '../tensor/types';
import { configToJson } from './config-json';
import { isGguf } from './gguf';
import { CONFIG_NAME, GENERATION_NAME } from './huggingface/source';
import { offsetsOf } from './load';
import { MtpModel } from './model';
import { storedTensors } from './pieces';
import { shardFiles, writeSafetensors } from './safetensors';
import { saveTokenizer, TOKENIZER, TOKENIZER_FILES, type Tokenizer } from './tokenizer';

// Writes a model's directory as Hugging Face lays it out: config.json, model.safetensors (or shards with an index) and
// tokenizer.json. foretoken adds the `mtp` object of config.json and the `mtp.*` tensors, which other readers ignore.

const WEIGHTS_NAME = 'model.safetensors';
/** The state of a training run, beside the model. */
export const STATE_NAME = 'trainer_state.json';
/** The optimizer's state of a training run, beside the model. */
export const OPTIMIZER_NAME = 'optimizer.safetensors';

/** Writes the files of a model into an existing directory. Each file is written atomically, but not all together. */
export async function writeModelFiles(
  directory: string,
  model: MtpModel,
  tokenizer: Tokenizer,
): Promise<void> {
  const tensors = storedTensors(model, offsetsOf(model.config));
  const storedDtype = model.parameters.storedDtype as ActivationDType;
  const config = `${JSON.stringify(configToJson(model.config, storedDtype), null, 2)}\n`;
  await writeFileAtomic(join(directory, CONFIG_NAME), config);
  await saveTokenizer(directory, tokenizer);
  if (model.draftVocabulary) await writeDraftVocabulary(directory, model.draftVocabulary);
  const { generationConfig } = model;
  if (generationConfig) {
    await writeFileAtomic(join(directory, GENERATION_NAME), `${JSON.stringify(generationConfig, null, 2)}\n`);
  }
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
  const isOurs = (name: string): boolean =>
    [CONFIG_NAME, GENERATION_NAME, DRAFT_VOCABULARY_NAME, ...TOKENIZER_FILES].includes(name);
  const hasModel = entries.includes(WEIGHTS_NAME) || shards.length > 0 || entries.every(isOurs);
  const problem = entries.includes(STATE_NAME)
    ? 'it holds a checkpoint of a training run; choose another directory'
    : 'it holds files but no model; choose a new or empty directory';
  if (entries.includes(STATE_NAME) || !hasModel) {
    throw new ForetokenError('INVALID_ARGUMENT', `cannot save a model to ${directory}: ${problem}`);
  }
  const obsolete = TOKENIZER_FILES.filter((name) => !Object.hasOwn(tokenizer.files, name));
  if (!model.generationConfig) obsolete.push(GENERATION_NAME);
  if (!model.draftVocabulary) obsolete.push(DRAFT_VOCABULARY_NAME);
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
 * Finds a model: `path` itself, a directory or a GGUF file, or the newest checkpoint in the directory of a training run.
 * @param file name of a file that identifies `path` itself. Default: config.json
 * @throws FILE_ACCESS if `path` has neither this file nor a checkpoint
 */
export async function findModel(path: string, file = CONFIG_NAME): Promise<string> {
  if (await isGguf(path)) return path;
  const entries = await readdir(path).catch((cause: unknown) => {
    throw fileAccessError('read', path, cause);
  });
  if (entries.includes(file)) return path;
  const newest = (await listCheckpoints(path)).at(-1);
  if (newest) return newest.path;
  throw new ForetokenError('FILE_ACCESS', `${path}: it has neither a ${file} nor a complete checkpoint`);
}
