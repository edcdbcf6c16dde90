import { createHash, type Hash } from 'node:crypto';
import { constants } from 'node:fs';
import { open, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ForetokenError } from '../errors';
import {
  fileAccessError,
  isSystemError,
  makeDirectory,
  readFully,
  syncDirectory,
  writeFully,
} from '../files';
import { FileLock } from '../lock';
import type { ModelFolder } from './cache';
import type { HubFile } from './listing';
import { PassingError, request, retrying, wait } from './request';
import type { HubSettings } from './settings';

/** A file to download, and what to report meanwhile. */
export interface BlobRequest {
  readonly hub: HubSettings;
  readonly folder: ModelFolder;
  readonly commit: string;
  readonly file: HubFile;
  readonly signal: AbortSignal | undefined;
  /** Called with the number of bytes of the file that are there. */
  readonly onBytes: (bytes: number) => void;
  /** Called once if another process downloads the file. */
  readonly onWait: (holder: string) => void;
}

const POLL_MS = 500;

/** Whether a file exists and has this size. */
export async function hasSize(path: string, size: number): Promise<boolean> {
  const status = await stat(path).catch(() => undefined);
  return status?.isFile() === true && status.size === size;
}

/**
 * Downloads a file into the cache, unless it is there. Continues an incomplete one, and leaves an incomplete one when it fails. One
 * process at a time downloads a file; others wait for it.
 * @throws DOWNLOAD_FAILED saying what went wrong; FILE_ACCESS if the system refuses; the reason of the signal
 */
export async function fetchBlob(wanted: BlobRequest): Promise<void> {
  const { folder, file, signal } = wanted;
  const blob = folder.blob(file.id);
  if (await hasSize(blob, file.size)) return;
  let lock = await FileLock.take(folder.lock(file.id));
  for (let polls = 0; !(lock instanceof FileLock); polls++) {
    if (polls === 0) wanted.onWait(lock.description);
    await wait(POLL_MS, signal);
    lock = await FileLock.take(folder.lock(file.id));
  }
  const path = folder.part(file.id);
  try {
    if (await hasSize(blob, file.size)) return;
    await makeDirectory(dirname(path));
    await receive(wanted, path);
    await rename(path, blob);
    await syncDirectory(dirname(blob));
  } catch (cause) {
    throw isSystemError(cause) ? fileAccessError('write', path, cause) : cause;
  } finally {
    lock.release();
  }
}

/** Downloads a file to `path`, from the byte on that an earlier attempt has reached. */
async function receive(wanted: BlobRequest, path: string): Promise<void> {
  const { file, signal } = wanted;
  let wasResumed: boolean;
  do {
    const part = await Part.open(path, file, signal);
    wasResumed = part.bytes > 0;
    try {
      let before = part.bytes;
      const judge = (): 'advanced' | 'stuck' => {
        const verdict = part.bytes > before ? 'advanced' : 'stuck';
        before = part.bytes;
        return verdict;
      };
      if (part.bytes < file.size) await retrying(() => stream(wanted, part), signal, judge);
      const found = part.digest();
      if (found === file.id) {
        await part.handle.sync();
        return;
      }
      await rm(path, { force: true });
      if (!wasResumed) throw damaged(wanted, found);
    } catch (error) {
      if (error instanceof PassingError) throw interrupted(error, part.bytes, file);
      throw error;
    } finally {
      await part.handle.close();
    }
    // The earlier part may have been damaged: a whole download decides.
  } while (wasResumed);
}

function damaged({ hub, folder, file }: BlobRequest, found: string): ForetokenError {
  const problem = `${hub.endpoint} sent ${file.path} damaged: its hash is ${found}, but should be ${file.id}`;
  return new ForetokenError('DOWNLOAD_FAILED', `${folder.name}: ${problem}; it was deleted`);
}

function interrupted(error: PassingError, bytes: number, { path, size }: HubFile): ForetokenError {
  const kept = `${bytes} of ${size} bytes of ${path} are kept, and the same download continues there`;
  return new ForetokenError('DOWNLOAD_FAILED', `${error.message}; ${kept}`, { cause: error });
}

/** Asks for the rest of a file and appends it to the part. */
async function stream(
  { hub, folder, commit, file, signal, onBytes }: BlobRequest,
  part: Part,
): Promise<void> {
  const path = `/${folder.name}/resolve/${commit}/${file.path.split('/').map(encodeURIComponent).join('/')}`;
  const headers = part.bytes > 0 ? { range: `bytes=${part.bytes}-` } : undefined;
  const wanted = `file ${file.path}`;
  await request({ hub, name: folder.name, wanted, path, headers, signal }, async (response, alive) => {
    const from = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1];
    // A server may ignore the range and send the whole file.
    if (response.status !== 206 || Number(from) !== part.bytes) await part.restart();
    onBytes(part.bytes);
    for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
      alive();
      if (part.bytes + chunk.length > file.size) {
        await rm(folder.part(file.id), { force: true });
        const problem = `${hub.endpoint} sent more than the ${file.size} bytes of ${file.path}; it was deleted`;
        throw new ForetokenError('DOWNLOAD_FAILED', `${folder.name}: ${problem}`);
      }
      await part.write(chunk);
      onBytes(part.bytes);
    }
  });
  if (part.bytes < file.size) throw new PassingError(`${hub.endpoint} ended ${file.path} early`, true);
}

/** The first bytes of a file, with the state of their hash. */
class Part {
  private constructor(
    readonly handle: FileHandle,
    private readonly file: HubFile,
    private hash: Hash,
    /** Bytes that are there. */
    public bytes: number,
  ) {}

  static async open(path: string, file: HubFile, signal: AbortSignal | undefined): Promise<Part> {
    const handle = await open(path, constants.O_RDWR | constants.O_CREAT, 0o666);
    try {
      const part = new Part(handle, file, startHash(file), 0);
      await part.#hashExisting((await handle.stat()).size, signal);
      return part;
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  async #hashExisting(size: number, signal: AbortSignal | undefined): Promise<void> {
    const piece = new Uint8Array(Math.min(size, 8 << 20));
    while (this.bytes < size) {
      signal?.throwIfAborted();
      const read = await readFully(this.handle, piece.subarray(0, size - this.bytes), this.bytes);
      if (read === 0) return;
      this.hash.update(piece.subarray(0, read));
      this.bytes += read;
    }
  }

  async restart(): Promise<void> {
    await this.handle.truncate(0);
    this.hash = startHash(this.file);
    this.bytes = 0;
  }

  async write(chunk: Uint8Array): Promise<void> {
    await writeFully(this.handle, chunk, this.bytes);
    this.hash.update(chunk);
    this.bytes += chunk.length;
  }

  digest(): string {
    return this.hash.copy().digest('hex');
  }
}

/** The sha256 of a file in Git LFS has 64 digits; git's own hash of another file has 40 and covers a header. */
function startHash({ id, size }: HubFile): Hash {
  return id.length === 64 ? createHash('sha256') : createHash('sha1').update(`blob ${size}\0`);
}
