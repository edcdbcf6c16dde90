import { constants } from 'node:buffer';
import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { getSystemErrorMap } from 'node:util';
import { ForetokenError, type ErrorCode } from './errors';
import { parseJson } from './json';
import { decodeUtf8 } from './utf8';

/** What the system said about `path`, as a ForetokenError with code FILE_ACCESS. */
export function fileAccessError(action: 'read' | 'write', path: string, cause: unknown): ForetokenError {
  return new ForetokenError('FILE_ACCESS', `cannot ${action} ${path}: ${systemReason(cause)}`, { cause });
}

/** Why the system refused something, in the system's own words, or the message of an error that is not the system's. */
export function systemReason(cause: unknown): string {
  const { errno, message } = cause as NodeJS.ErrnoException;
  const [, words] = getSystemErrorMap().get(errno ?? 0) ?? [];
  return words ?? message;
}

/** Opens a file for reading; throws FILE_ACCESS, naming it, when that fails. */
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

/** The largest file that is read as one text: what is certain to fit into a string. */
const MAX_TEXT_BYTES = constants.MAX_STRING_LENGTH;

/**
 * Reads a text file, without a byte order mark at its beginning.
 *
 * @param code of the error for a content that is no text. Default INVALID_DATA.
 * @throws FILE_ACCESS when it cannot be read; `code` when it is not UTF-8, or too large for one text.
 *   Each names the file.
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

/** Reads and parses a JSON file; throws FILE_ACCESS or CORRUPT_FILE, naming it. */
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

/** Small enough that hashing a piece does not hold up the event loop, large enough to be efficient. */
const PIECE_BYTES = 8 << 20;

/** Fills `out` from `position` of the file, a piece at a time. Returns the bytes read: fewer only at the end. */
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

/** Writes all of `data` at `position` (default: where the handle stands), a piece at a time. */
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
 * Makes a directory, with those that it lies in. Node's own recursive mkdir says ENOENT on a read-only file system, and on some
 * others it never ends.
 */
export async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    if (await isDirectory(path)) return;
    const parent = dirname(path);
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || parent === path || (await isDirectory(parent)))
      throw error;
    await makeDirectory(parent);
    await makeDirectory(path);
  }
}

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (status) => status.isDirectory(),
    () => false,
  );
}

/** A name beside `path` that nobody else uses; hidden, so that file patterns do not pick it up. */
export function temporaryBeside(path: string): string {
  return join(dirname(path), `.tmp-${basename(path)}-${randomBytes(6).toString('hex')}`);
}

const TEMPORARY_NAME = /^\.tmp-(.+)-[0-9a-f]{12}$/;

/**
 * Removes what killed processes left in a directory of what they wrote under temporary names. Only for a directory that
 * no other process writes into.
 * @param published the names under which it would have been published
 */
export async function removeTemporaries(directory: string, published: RegExp): Promise<void> {
  for (const name of await readdir(directory).catch(() => [])) {
    const what = TEMPORARY_NAME.exec(name)?.[1];
    if (what !== undefined && published.test(what)) await removeQuietly(join(directory, name));
  }
}

/** Makes a rename or a new name in `directory` survive a power cut. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Writes a file so that other processes, and this one after a crash, see the old content or the whole new one:
 * under a temporary name in the same directory, flushed to the disk, then renamed. The directory is made if needed.
 *
 * @param content the bytes or text, or a function that writes them to an open handle.
 * @throws FILE_ACCESS when the system refuses. Errors of `content` pass through; either way nothing is left behind.
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
 * Publishes a directory of several files at once: `fill` writes them into a temporary directory beside `path`,
 * which is then renamed. A directory already at `path` is replaced; readers then find it missing for an instant,
 * and a crash in that instant leaves it beside as `.tmp-…`.
 *
 * @throws FILE_ACCESS when the system refuses. Errors of `fill` pass through; either way nothing is left behind.
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

/** Tidying up must not hide the error that made it necessary. */
export async function removeQuietly(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true }).catch(() => undefined);
}

export function isSystemError(error: unknown): boolean {
  return typeof (error as NodeJS.ErrnoException | null)?.syscall === 'string';
}
