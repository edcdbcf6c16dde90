import { open, readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ForetokenError } from '../../errors';
import { fileAccessError } from '../../files';
import { TOKEN_FILE_MAGIC, TokenFile } from './token-file';

/** Names of cached token files, and of those still being written. */
const CACHED = /^corpus-[0-9a-f]{32}\.tokens$/;
const UNFINISHED = /^\.tmp-corpus-[0-9a-f]{32}\.tokens-[0-9a-f]{12}$/;

/** @param key 32 hexadecimal digits that depend on everything that the tokens depend on */
export function cachedTokenFile(directory: string, key: string): string {
  return join(directory, `corpus-${key}.tokens`);
}

/** Whether a path is a cached token file by its directory and name, and so no text. */
export function isCachedTokenFile(path: string, directory: string): boolean {
  return dirname(path) === directory && CACHED.test(basename(path));
}

/**
 * Opens a cached token file. Returns undefined if the file is missing, or damaged and so may be replaced.
 * @throws INVALID_ARGUMENT if the file is no token file
 */
export async function openCachedTokenFile(path: string): Promise<TokenFile | undefined> {
  try {
    return await TokenFile.open(path);
  } catch (error) {
    if (!(error instanceof ForetokenError)) throw error;
    if ((error.cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') return undefined;
    if (error.code !== 'CORRUPT_FILE') throw error;
    if (await isOurs(path)) return undefined;
    const problem =
      'it is not a token file, and would be overwritten; move it, or give another cache directory';
    throw new ForetokenError('INVALID_ARGUMENT', `${path}: ${problem}`);
  }
}

/**
 * Lists the cached token files in the directory of `current` except `current`, and unfinished ones: a run that owns the directory
 * may delete them. Files with other names or contents are not listed.
 */
export async function supersededTokenFiles(current: string): Promise<string[]> {
  const directory = dirname(current);
  const names = await readdir(directory).catch((cause: unknown) => {
    throw fileAccessError('read', directory, cause);
  });
  const candidates = names.filter((name) => CACHED.test(name) || UNFINISHED.test(name)).sort();
  const superseded: string[] = [];
  for (const path of candidates.map((name) => join(directory, name))) {
    if (path !== current && (UNFINISHED.test(basename(path)) || (await isOurs(path)))) superseded.push(path);
  }
  return superseded;
}

/** Whether a file begins like a token file or is empty, so that nothing is lost with it. */
async function isOurs(path: string): Promise<boolean> {
  const handle = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(TOKEN_FILE_MAGIC.length), 0);
    return bytesRead === 0 || buffer.toString('latin1') === TOKEN_FILE_MAGIC;
  } finally {
    await handle.close();
  }
}
