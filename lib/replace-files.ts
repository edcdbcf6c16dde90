import { renameSync, rmSync } from 'node:fs';
import { mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileAccessError, isSystemError, removeQuietly, syncDirectory, temporaryBeside } from './files';

/** Up to this size, files are compared with the files that they replace. */
const COMPARED_BYTES = 64 << 20;

/**
 * Replaces files of an existing directory, and keeps all others. `fill` writes the new files into a hidden directory inside. When all
 * are complete, they replace the old files, which can be read until then.
 *
 * A single file is replaced in one step. With several files, `marker` is removed first and written last: in the instant between, and
 * after a crash in that instant, a reader finds no marker, and never reads new files together with old ones.
 *
 * @param marker the file without which readers ignore the others
 * @param obsolete files that do not match the new ones and are removed
 * @throws FILE_ACCESS if the system refuses, and the errors of `fill`; either way no temporary file is left
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

/** Synchronous, so that no signal can end this process in the middle. */
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
