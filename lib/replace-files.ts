import { renameSync, rmSync } from 'node:fs';
import { mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileAccessError, isSystemError, removeQuietly, syncDirectory, temporaryBeside } from './files';

/** Files up to this size are compared with those that they replace. */
const COMPARED_BYTES = 64 << 20;

/**
 * Replaces files of a directory that exists, and leaves all others there. `fill` writes the new ones into a hidden directory
 * inside; only when all of them are complete do they take the old ones' places, so that until then the old ones can be read.
 *
 * One file is exchanged in one step. Where there are more, `marker` is taken away first and comes last: in the instant between,
 * and after a crash in it, a reader misses that file and never sees some of the new files together with some of the old.
 *
 * @param marker the file without which a reader takes none of the others
 * @param obsolete files that do not belong with the new ones, and go
 * @throws FILE_ACCESS when the system refuses. Errors of `fill` pass through; either way nothing is left behind.
 */
export async function replaceFiles(
  directory: string,
  marker: string,
  obsolete: readonly string[],
  fill: (temporary: string) => Promise<void>,
): Promise<void> {
  const temporary = temporaryBeside(join(directory, 'files'));
  try {
    await mkdir(temporary);
    await fill(temporary);
    const changed: string[] = [];
    for (const name of await readdir(temporary)) {
      if (!(await isSame(join(temporary, name), join(directory, name)))) changed.push(name);
    }
    const present = await readdir(directory);
    exchange(
      temporary,
      directory,
      marker,
      changed,
      obsolete.filter((name) => present.includes(name)),
    );
    await syncDirectory(directory);
  } catch (cause) {
    throw isSystemError(cause) ? fileAccessError('write', directory, cause) : cause;
  } finally {
    await removeQuietly(temporary);
  }
}

/** Without a pause in which this process could be told to end. */
function exchange(
  from: string,
  to: string,
  marker: string,
  changed: readonly string[],
  obsolete: readonly string[],
): void {
  if (changed.length + obsolete.length > 1) {
    rmSync(join(to, marker), { force: true });
    for (const name of obsolete) rmSync(join(to, name), { force: true });
    for (const name of changed) if (name !== marker) renameSync(join(from, name), join(to, name));
    renameSync(join(from, marker), join(to, marker));
  } else {
    for (const name of obsolete) rmSync(join(to, name), { force: true });
    for (const name of changed) renameSync(join(from, name), join(to, name));
  }
}

async function isSame(path: string, other: string): Promise<boolean> {
  const [size, otherSize] = await Promise.all(
    [path, other].map(async (file) => {
      const status = await stat(file).catch(() => undefined);
      return status?.isFile() ? status.size : undefined;
    }),
  );
  if (size === undefined || size !== otherSize || size > COMPARED_BYTES) return false;
  const [content, otherContent] = await Promise.all([path, other].map((file) => readFile(file)));
  return content!.equals(otherContent!);
}
