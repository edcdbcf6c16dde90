import { constants } from 'node:buffer';
import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { getSystemErrorMap } from 'node:util';
import { ForetokenError, type ErrorCode } from './errors';
import { parseJson } from './json';
import { decodeUtf8 } from './utf8';

/** Converts an error of the system about `path` to a ForetokenError with code FILE_ACCESS. */
export function fileAccessError(action: 'read' | 'write', path: string, cause: unknown): ForetokenError {
  return new ForetokenError('FILE_ACCESS', `cannot ${action} ${path}: ${systemReason(cause)}`, { cause });
}

/** Returns the system's words for its error, or the message of any other error. */
export function systemReason(cause: unknown): string {
  const { errno, message } = cause as NodeJS.ErrnoException;
  const [, words] = getSystemErrorMap().get(errno ?? 0) ?? [];
  return words ?? message;
}

/** Opens a file for reading; throws FILE_ACCESS, naming the file, if that fails. */
export async function openForReading(path: string): Promise<FileHandle> {
  const handle = await open(path, 'r').catch((cause: unknown) => {
    throw fileAccessError('read', path, cause);
  });
  if ((await handle.stat()).isDirectory()) {
    await handle.close();
    throw fileAccessError('read', path, Object.assign(new Error('it is a directory'), { code: 'EISDIR' }));
  }
  return handle;
}

/** The largest file that is read as one text: its text certainly fits into a string. */
const MAX_TEXT_BYTES = constants.MAX_STRING_LENGTH;

/**
 * Reads a text file, without a byte order mark at its beginning.
 *
 * @param code code of the error for contents that are not text. Default INVALID_DATA
 * @throws FILE_ACCESS if the file cannot be read; `code` if it is not UTF-8, or too large for one text
 */
export async function readText(path: string, code: ErrorCode = 'INVALID_DATA'): Promise<string> {
  let bytes: Buffer;
  try {
    const { size } = await stat(path);
    if (size > MAX_TEXT_BYTES) {
      const [limit, given] = [MAX_TEXT_BYTES, size].map((bytes) => Math.ceil(bytes / 2 ** 20));
      const problem = `one text may have at most ${limit} MiB, but the file has ${given}; split it`;
      throw new ForetokenError(code, `${path}: ${problem}`);
    }
    bytes = await readFile(path);
  } catch (cause) {
    throw cause instanceof ForetokenError ? cause : fileAccessError('read', path, cause);
  }
  return decodeUtf8(path, bytes, { code });
}

/** Reads and parses a JSON file; throws FILE_ACCESS or CORRUPT_FILE, naming the file. */
export async function readJson(path: string): Promise<unknown> {
  const text = await readText(path, 'CORRUPT_FILE');
  try {
    return parseJson(text);
  } catch (cause) {
    throw new ForetokenError('CORRUPT_FILE', `${path}: not JSON: ${(cause as Error).message}`, { cause });
  }
}

export function isJsonObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Small enough that hashing a piece does not block the event loop for long, large enough to be efficient. */
const PIECE_BYTES = 8 << 20;

/** Fills `out` from `position` of the file, a piece at a time. Returns the number of bytes read, fewer only at the end of the file. */
export async function readFully(
  handle: FileHandle,
  out: Uint8Array,
  position: number,
  onPiece?: (piece: Uint8Array) => void,
): Promise<number> {
  let done = 0;
  while (done < out.length) {
    const length = Math.min(PIECE_BYTES, out.length - done);
    const { bytesRead } = await handle.read(out, done, length, position + done);
    if (bytesRead === 0) break;
    onPiece?.(out.subarray(done, done + bytesRead));
    done += bytesRead;
  }
  return done;
}

/** Writes all of `data` at `position`, a piece at a time. */
export async function writeFully(
  handle: FileHandle,
  data: Uint8Array,
  position: number,
  onPiece?: (piece: Uint8Array) => void,
): Promise<void> {
  let done = 0;
  while (done < data.length) {
    const length = Math.min(PIECE_BYTES, data.length - done);
    const { bytesWritten } = await handle.write(data, done, length, position + done);
    onPiece?.(data.subarray(done, done + bytesWritten));
    done += bytesWritten;
  }
}

/**
 * Makes a directory and its missing parents. Node's recursive mkdir fails with ENOENT on a read-only file system, and never ends on
 * some others.
 */
export async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    if (await isDirectory(path)) return;
    const parent = dirname(path);
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || parent === path) throw error;
    // Another process may make the same directories at this moment.
    if (!(await isDirectory(parent))) await makeDirectory(parent);
    await mkdir(path).catch(async (again: unknown) => {
      if (!(await isDirectory(path))) throw again;
    });
  }
}

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (status) => status.isDirectory(),
    () => false,
  );
}

/** Makes a unique name beside `path`, hidden so that file patterns do not match it. */
export function temporaryBeside(path: string): string {
  return join(dirname(path), `.tmp-${basename(path)}-${randomBytes(6).toString('hex')}`);
}

const TEMPORARY_NAME = /^\.tmp-(.+)-[0-9a-f]{12}$/;

/**
 * Removes temporary files that killed processes left in a directory. No other process may write into the directory.
 * @param published the names that the temporary files were to be renamed to
 */
export async function removeTemporaries(directory: string, published: RegExp): Promise<void> {
  for (const name of await readdir(directory).catch(() => [])) {
    const what = TEMPORARY_NAME.exec(name)?.[1];
    if (what !== undefined && published.test(what)) await removeQuietly(join(directory, name));
  }
}

/** Flushes `directory`, so that a rename or a new name in it survives a power cut. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Writes a file so that other processes, and this one after a crash, read either the old or the complete new contents: writes to a
 * temporary name in the same directory, flushes to the disk, then renames. Makes the directory if it does not exist.
 *
 * @param content the bytes or text, or a function that writes them to an open handle
 * @throws FILE_ACCESS if the system refuses, and the errors of `content`; either way no temporary file is left
 */
export async function writeFileAtomic(
  path: string,
  content: string | Uint8Array | ((handle: FileHandle) => Promise<void>),
): Promise<void> {
  const temporary = temporaryBeside(path);
  try {
    await makeDirectory(dirname(path));
    const handle = await open(temporary, 'wx');
    try {
      if (typeof content === 'function') await content(handle);
      else await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
    await syncDirectory(dirname(path));
  } catch (cause) {
    await removeQuietly(temporary);
    throw isSystemError(cause) ? fileAccessError('write', path, cause) : cause;
  }
}

/**
 * Publishes a directory of several files at once: `fill` writes them into a temporary directory beside `path`, which is then renamed.
 * An existing directory at `path` is replaced: readers find none for an instant, and a crash in that instant leaves the old one beside
 * `path` as `.tmp-…`.
 *
 * @throws FILE_ACCESS if the system refuses, and the errors of `fill`; either way no temporary directory is left
 */
export async function writeDirectoryAtomic(
  path: string,
  fill: (temporary: string) => Promise<void>,
): Promise<void> {
  const temporary = temporaryBeside(path);
  const replaced = temporaryBeside(path);
  try {
    await makeDirectory(temporary);
    await fill(temporary);
    await syncDirectory(temporary);
    await rename(path, replaced).catch((cause: unknown) => {
      if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause;
    });
    await rename(temporary, path);
    await syncDirectory(dirname(path));
  } catch (cause) {
    await removeQuietly(temporary);
    throw isSystemError(cause) ? fileAccessError('write', path, cause) : cause;
  }
  await removeQuietly(replaced);
}

/** Removes a file or directory and ignores errors, which must not hide the error that made the removal necessary. */
export async function removeQuietly(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true }).catch(() => undefined);
}

export function isSystemError(error: unknown): boolean {
  return typeof (error as NodeJS.ErrnoException | null)?.syscall === 'string';
}
