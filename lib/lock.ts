import { randomBytes } from 'node:crypto';
import { readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { isInteger } from './check';
import { fileAccessError, isJsonObject, makeDirectory } from './files';

/** A lock without content was truncated by a crash, unless its owner is writing it at this moment. */
const WRITING_MS = 10_000;

/** The holder of a lock. */
interface Owner {
  readonly pid: number;
  readonly host: string;
  /** Distinguishes a process from a later one with the same number; null if the system does not provide it. */
  readonly started: string | null;
  /** When the lock was taken, for people. */
  readonly since: string;
}

/** Another process that holds a lock, or this one. */
export interface LockHolder {
  /** Describes the holder for a message: `process 1234 on host, since …`. */
  readonly description: string;
  /** Whether it is certain that the holder lives. A process of another host cannot be seen. */
  readonly lives: boolean;
}

/**
 * A right of one process at a time, such as to write into a directory: a file that names its owner. The lock of a dead process is
 * taken over. The lock of another host is respected, because this host cannot see whether its owner lives.
 */
export class FileLock {
  private constructor(
    private readonly path: string,
    private readonly content: string,
    private readonly made: readonly string[],
  ) {}

  /**
   * Takes a lock, and makes the file's directory if needed; returns the holder instead if there is one.
   * @param made directories that the lock's release removes if they are empty, innermost first
   * @throws FILE_ACCESS if the system refuses
   */
  static async take(path: string, made: readonly string[] = []): Promise<FileLock | LockHolder> {
    const owner: Owner = {
      pid: process.pid,
      host: hostname(),
      started: startOf(process.pid),
      since: new Date().toISOString(),
    };
    const lock = new FileLock(
      path,
      `${JSON.stringify({ ...owner, id: randomBytes(6).toString('hex') })}\n`,
      made,
    );
    try {
      await makeDirectory(dirname(path));
      while (!create(path, lock.content)) {
        const state = await stateOf(path);
        if (typeof state === 'object') return describe(state.owner);
        if (state === 'stale') await takeOver(path, lock.content);
        // The last owner may have removed an otherwise empty directory together with its lock.
        await makeDirectory(dirname(path));
      }
    } catch (cause) {
      throw fileAccessError('write', path, cause);
    }
    return lock;
  }

  /**
   * Releases the lock, and removes its directories that are still empty. Synchronous, so that `dispose` can call it.
   */
  release(): void {
    if (read(this.path) !== this.content) return;
    rmSync(this.path, { force: true });
    try {
      for (const directory of this.made) rmdirSync(directory);
    } catch {
      // The directory is in use.
    }
  }
}

/** Returns false if a lock exists already or the directory has been removed. */
function create(path: string, content: string): boolean {
  try {
    writeFileSync(path, content, { flag: 'wx' });
    return true;
  } catch (error) {
    if (['EEXIST', 'ENOENT'].includes((error as NodeJS.ErrnoException).code!)) return false;
    // A full disk leaves an empty file.
    rmSync(path, { force: true });
    throw error;
  }
}

/** Returns the owner of a lock, if it lives or may live; otherwise whether there is a lock of a dead one. */
async function stateOf(path: string): Promise<{ owner: Owner | undefined } | 'stale' | 'none'> {
  const content = read(path);
  if (content === undefined) return 'none';
  const owner = parse(content);
  return (owner ? mayLive(owner) : await isYoung(path)) ? { owner } : 'stale';
}

/**
 * Removes a stale lock, unless another process does so at this moment. One process at a time looks at the lock and removes it,
 * because in between the lock of a new owner could come into its place.
 */
async function takeOver(path: string, content: string): Promise<void> {
  const claim = `${path}-takeover`;
  if (create(claim, content)) {
    try {
      if ((await stateOf(path)) === 'stale') rmSync(path, { force: true });
    } finally {
      rmSync(claim, { force: true });
    }
  } else if ((await stateOf(claim)) === 'stale') {
    await takeOver(claim, content);
  } else {
    await setTimeout(1);
  }
}

function describe(owner: Owner | undefined): LockHolder {
  if (!owner) return { description: 'another process', lives: false };
  const { pid, host, since } = owner;
  return { description: `process ${pid} on ${host}, since ${since}`, lives: host === hostname() };
}

function mayLive({ pid, host, started }: Owner): boolean {
  if (host !== hostname()) return true;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  const now = startOf(pid);
  return started === null || now === null || now === started;
}

async function isYoung(path: string): Promise<boolean> {
  const status = await stat(path).catch(() => undefined);
  return status !== undefined && Math.abs(Date.now() - status.mtimeMs) < WRITING_MS;
}

/** Returns the boot id and the tick at which a process began, if Linux provides them. */
function startOf(pid: number): string | null {
  const status = read(`/proc/${pid}/stat`);
  const boot = read('/proc/sys/kernel/random/boot_id');
  if (status === undefined || boot === undefined) return null;
  // The name in parentheses may hold anything; after it follow the fields from 3 on, and field 22 is the start time.
  return `${boot.trim()} ${status.slice(status.lastIndexOf(')') + 2).split(' ')[19]}`;
}

function parse(content: string): Owner | undefined {
  try {
    const json: unknown = JSON.parse(content);
    if (isJsonObject(json) && isInteger(json.pid, 0) && typeof json.host === 'string') {
      return json as unknown as Owner;
    }
  } catch {
    // Not a lock, or a truncated one.
  }
  return undefined;
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
