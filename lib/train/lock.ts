import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { isInteger } from '../check';
import { ForetokenError } from '../errors';
import { fileAccessError, isJsonObject, makeDirectory } from '../files';

/** Hidden, so that file patterns do not pick it up. */
export const LOCK_NAME = '.foretoken-lock';

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

/**
 * The right of one process to write into a directory: a file that names its owner. The lock of a dead process is taken over.
 * The lock of another host is respected, because this host cannot see whether its owner lives.
 */
export class DirectoryLock {
  private constructor(
    private readonly path: string,
    private readonly content: string,
    /** Directories made for the lock, innermost first. */
    private readonly made: readonly string[],
  ) {}

  /**
   * Takes the lock of a directory, and makes the directory if needed.
   * @throws INVALID_ARGUMENT naming the owner while another training holds the lock; FILE_ACCESS if the system refuses
   */
  static async acquire(directory: string): Promise<DirectoryLock> {
    const path = join(directory, LOCK_NAME);
    const owner: Owner = {
      pid: process.pid,
      host: hostname(),
      started: startOf(process.pid),
      since: new Date().toISOString(),
    };
    const lock = new DirectoryLock(
      path,
      `${JSON.stringify({ ...owner, id: randomBytes(6).toString('hex') })}\n`,
      missingOf(directory),
    );
    try {
      await makeDirectory(directory);
      while (!create(path, lock.content)) {
        const state = await stateOf(path);
        if (typeof state === 'object') throw held(directory, path, state.owner);
        if (state === 'stale') await takeOver(path, lock.content);
        // The last owner may have removed an otherwise empty directory together with its lock.
        await makeDirectory(directory);
      }
    } catch (cause) {
      throw cause instanceof ForetokenError ? cause : fileAccessError('write', path, cause);
    }
    return lock;
  }

  /**
   * Releases the lock, and removes the directories made for it that are still empty. Synchronous, so that `dispose` can call
   * it.
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

/** Returns the missing directories of a path, innermost first. */
function missingOf(directory: string): string[] {
  const path = resolve(directory);
  return existsSync(path) || dirname(path) === path ? [] : [path, ...missingOf(dirname(path))];
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

function held(directory: string, path: string, owner: Owner | undefined): ForetokenError {
  const who = owner ? `process ${owner.pid} on ${owner.host}, since ${owner.since}` : 'another process';
  const gone = owner?.host === hostname() ? '' : `; if that process is gone, delete ${path}`;
  return new ForetokenError(
    'INVALID_ARGUMENT',
    `${directory}: another training writes into it (${who}); wait for it, or give another output directory${gone}`,
  );
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
