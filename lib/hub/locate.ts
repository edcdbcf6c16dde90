import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ForetokenError } from '../errors';
import { ModelFolder } from './cache';
import { INDEX, shardsIn, WEIGHTS } from './choose-files';
import { DEFAULT_REVISION, parseRepoId } from './repo-id';
import { cacheDirectory } from './settings';

/**
 * Finds a model on this machine: a path if it exists, else `owner/name` or `owner/name@revision` in the cache of the Hugging Face
 * Hub. Never opens a connection.
 * @param file the file that is needed; with config.json, the weights are needed, too
 * @returns the path of a directory or of a GGUF file; a text that can only be a path is returned unchanged
 * @throws FILE_ACCESS saying how to download the model
 */
export async function locateModel(model: string, file = 'config.json'): Promise<string> {
  const id = parseRepoId(model);
  if (!id || (await exists(model))) return model;
  const cache = cacheDirectory();
  const folder = new ModelFolder(cache, id.name);
  const found = await folder.find(id.revision);
  const fail: (problem: string) => never = (problem) => {
    throw new ForetokenError('FILE_ACCESS', `${model}: ${problem}`);
  };
  if (!found) {
    const others = (await folder.revisions()).map((revision) => `${id.name}@${revision}`);
    if (others.length === 0) {
      fail(`there is no such path, and no such model in ${cache}; to get it: foretoken download ${model}`);
    }
    const asked = id.revision ?? DEFAULT_REVISION;
    fail(
      `the cache has no revision ${asked}, but ${others.join(', ')}; to get it: foretoken download ${model}`,
    );
  }
  const { directory } = found;
  const isModel = file === 'config.json';
  const isThere = await exists(join(directory, file));
  const missing = isModel ? await missingFrom(directory) : isThere ? undefined : file;
  if (missing === undefined) return directory;
  const single = (await readdir(directory)).filter((name) => name.endsWith('.gguf'));
  if (single.length === 1) return join(directory, single[0]!);
  if (single.length > 1) {
    fail(
      `there are several files; give the path of one: ${single.map((name) => join(directory, name)).join(', ')}`,
    );
  }
  return fail(`${directory} lacks ${missing}; to get the rest: foretoken download ${model}`);
}

/** Names a file that a model's directory lacks; undefined if configuration and weights are complete. */
export async function missingFrom(directory: string): Promise<string | undefined> {
  const lacks = async (name: string): Promise<boolean> => !(await exists(join(directory, name)));
  if (await lacks('config.json')) return 'config.json';
  if (!(await lacks(WEIGHTS))) return undefined;
  if (await lacks(INDEX)) return WEIGHTS;
  for (const shard of await shardsIn(join(directory, INDEX))) if (await lacks(shard)) return shard;
  return undefined;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error: unknown) => !['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? ''),
  );
}
