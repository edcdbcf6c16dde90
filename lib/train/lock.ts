import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { readFile, rename, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { isInteger } from '../check';
import { ForetokenError } from '../errors';
import { fileAccessError, isJsonObject, makeDirectory, temporaryBeside } from '../files';

/** Hidden, so that file patterns do not pick it up. */
export const LOCK_NAME = '.foretoken-lock';

/** A lock without content was cut short by a crash, unless its owner is writing it at this moment. */
const WRITING_MS = 10_000;

/** Who holds a lock. */
interface Owner {
  readonly pid: number;
  readonly host: string;
  /** Tells a process from a later one with the same number; null where the system does not say. */
  readonly started: string | null;
  /** When the lock was taken, for people. */
  readonly since: string;
}

/**
 * The right of one process to write into a directory: a file that names its owner. The lock of a process that is gone
 * is taken over; that of another machine is respected, because nothing tells from here whether its owner lives.
 */
export class DirectoryLock {
  private constructor(
    private readonly path: string,
    private readonly content: string,
    /** The directories that were made for it, innermost first. */
    private readonly made: readonly string[],
  ) {}

  /**
   * Takes the lock of a directory, which is made if needed.
   * @throws INVALID_ARGUMENT naming the owner while another training holds it; FILE_ACCESS when the system refuses
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
      while (!lock.#create()) {
        await removeIfStale(directory, path);
        // Whoever had it may have taken a directory away with it in which there was nothing else.
        await makeDirectory(directory);
      }
    } catch (cause) {
      throw cause instanceof ForetokenError ? cause : fileAccessError('write', path, cause);
    }
    return lock;
  }

  /**
   * Gives the directory back, and removes it when it was made for the lock and nothing has come into it. Synchronous, so
   * that disposing can do it.
   */
  release(): void {
    if (read(this.path) !== this.content) return;
    rmSync(this.path, { force: true });
    try {
      for (const directory of this.made) rmdirSync(directory);
    } catch {
      // It is in use.
    }
  }

  /** False when there is a lock already, or the directory was taken away. */
  #create(): boolean {
    try {
      writeFileSync(this.path, this.content, { flag: 'wx' });
      return true;
    } catch (error) {
      if (['EEXIST', 'ENOENT'].includes((error as NodeJS.ErrnoException).code!)) return false;
      // A disk without room makes an empty file.
      rmSync(this.path, { force: true });
      throw error;
    }
  }
}

/** The directories of a path that are not there, innermost first. */
function missingOf(directory: string): string[] {
  const path = resolve(directory);
  return existsSync(path) || dirname(path) === path ? [] : [path, ...missingOf(dirname(path))];
}

/** @throws INVALID_ARGUMENT when the owner of the lock lives, or may live */
async function removeIfStale(directory: string, path: string): Promise<void> {
  const content = read(path);
  if (content === undefined) return;
  const owner = parse(content);
  if (owner ? mayLive(owner) : await isYoung(path)) throw held(directory, path, owner);
  // Renamed before it is removed, to see that it is still the lock that was judged: somebody may have been faster.
  const aside = temporaryBeside(path);
  try {
    await rename(path, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  if ((await readFile(aside, 'utf8')) === content) await rm(aside, { force: true });
  else await rename(aside, path);
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

/** The boot of the system and the tick at which a process began, where Linux says it. */
function startOf(pid: number): string | null {
  const status = read(`/proc/${pid}/stat`);
  const boot = read('/proc/sys/kernel/random/boot_id');
  if (status === undefined || boot === undefined) return null;
  // The name in parentheses may hold anything; what follows it are fields 3 and on, and field 22 is the start.
  return `${boot.trim()} ${status.slice(status.lastIndexOf(')') + 2).split(' ')[19]}`;
}

function parse(content: string): Owner | undefined {
  try {
    const json: unknown = JSON.parse(content);
    if (isJsonObject(json) && isInteger(json.pid, 0) && typeof json.host === 'string') {
      return json as unknown as Owner;
    }
  } catch {
    // Falls through: not a lock, or not all of it.
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
