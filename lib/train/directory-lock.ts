import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { ForetokenError } from '../errors';
import { FileLock } from '../lock';

/** Hidden, so that file patterns do not pick it up. */
export const LOCK_NAME = '.foretoken-lock';

/**
 * Takes the lock of a training's directory, and makes the directory if needed.
 * @throws INVALID_ARGUMENT naming the owner while another training holds the lock; FILE_ACCESS if the system refuses
 */
export async function lockDirectory(directory: string): Promise<FileLock> {
  const path = join(directory, LOCK_NAME);
  const lock = await FileLock.take(path, missingOf(directory));
  if (lock instanceof FileLock) return lock;
  const gone = lock.lives ? '' : `; if that process is gone, delete ${path}`;
  throw new ForetokenError(
    'INVALID_ARGUMENT',
    `${directory}: another training writes into it (${lock.description}); wait for it, or give another output directory${gone}`,
  );
}

/** Returns the missing directories of a path, innermost first. */
function missingOf(directory: string): string[] {
  const path = resolve(directory);
  return existsSync(path) || dirname(path) === path ? [] : [path, ...missingOf(dirname(path))];
}
