import { readdir, rename, rm, unlink } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { ForetokenError } from '../errors';
import { listCheckpoints, STATE_NAME } from '../model/checkpoint';
import type { FileLock } from '../lock';
import { removeTemporaries, temporaryBeside, writeDirectoryAtomic } from '../files';
import { lockDirectory, LOCK_NAME } from './directory-lock';
import { LOG_NAME, TrainingLog } from './log';
import { writeCheckpointFiles, type SavedState, type Trained, type TrainerState } from './state';

/** A published checkpoint. */
export interface Checkpoint {
  readonly step: number;
  readonly path: string;
}

/**
 * The directory of a training run: its log and its checkpoints. It belongs to one training at a time. Only checkpoints of this
 * run are deleted; other files stay.
 */
export class RunDirectory {
  /** The run's checkpoints, oldest first. */
  #checkpoints: Checkpoint[] = [];
  /** Names of the files of a checkpoint of this run. */
  #files: ReadonlySet<string> = new Set();

  #lock: FileLock | null = null;

  private constructor(readonly path: string) {}

  /**
   * Locks a directory, makes it if needed, and removes unfinished files of killed runs.
   * @param step steps done
   * @param resumed the checkpoint that the run continues from
   * @throws INVALID_ARGUMENT while another training holds the directory, or if it has later checkpoints
   */
  static async open(path: string, step: number, resumed?: SavedState): Promise<RunDirectory> {
    const directory = new RunDirectory(path);
    await directory.lock();
    try {
      const names = ['(diverged-)?checkpoint-\\d+', LOG_NAME, LOCK_NAME].map((name) =>
        name.replaceAll('.', '\\.'),
      );
      await removeTemporaries(path, new RegExp(`^(${names.join('|')})$`));
      await directory.#claim(step, resumed);
      return directory;
    } catch (error) {
      directory.close();
      throw error;
    }
  }

  async #claim(step: number, resumed: SavedState | undefined): Promise<void> {
    const existing = await listCheckpoints(this.path);
    const newest = existing.at(-1);
    if (newest && newest.step > step) {
      const advice =
        step > 0 ? 'delete it, or resume from the newest one' : 'resume it, or give another output directory';
      throw new ForetokenError(
        'INVALID_ARGUMENT',
        `${this.path}: a later checkpoint exists already, of step ${newest.step}; ${advice}`,
      );
    }
    if (resumed && resolve(dirname(resumed.checkpoint)) === resolve(this.path)) this.#checkpoints = existing;
  }

  /** The newest checkpoint of this run in the directory. */
  get newest(): Checkpoint | null {
    return this.#checkpoints.at(-1) ?? null;
  }

  /** Starts the run's log, or continues it after `step`. */
  openLog(step: number): Promise<TrainingLog> {
    const path = join(this.path, LOG_NAME);
    return step === 0 ? TrainingLog.create(path) : TrainingLog.resume(path, step);
  }

  /**
   * Publishes `checkpoint-<step>`. Renames a file or directory of that name first, unless it is a checkpoint of this run alone.
   * @param warn called with the new name
   * @throws FILE_ACCESS
   */
  async save(
    trained: Trained,
    state: Omit<TrainerState, 'version'>,
    warn: (message: string) => void,
  ): Promise<Checkpoint> {
    const path = join(this.path, `checkpoint-${state.step}`);
    await writeDirectoryAtomic(path, async (temporary) => {
      await writeCheckpointFiles(temporary, trained, state);
      this.#files = new Set(await readdir(temporary));
      const existing = await readdir(path).catch((error: unknown) =>
        (error as NodeJS.ErrnoException).code === 'ENOENT' ? [] : [basename(path)],
      );
      const own = this.#checkpoints.some((checkpoint) => checkpoint.path === path);
      if (existing.length > 0 && !(own && existing.every((name) => this.#files.has(name)))) {
        const aside = await freeName(`${path}.old`);
        await rename(path, aside);
        warn(`${path} was in the way of a checkpoint and is now ${aside}`);
      }
    });
    const checkpoint = { step: state.step, path };
    this.#checkpoints = [...this.#checkpoints.filter((old) => old.path !== path), checkpoint];
    return checkpoint;
  }

  /** Deletes this run's checkpoints except the newest `keep`. */
  async rotate(keep: number): Promise<void> {
    for (const old of this.#checkpoints.slice(0, -keep)) {
      await this.#delete(old.path);
      this.#checkpoints = this.#checkpoints.filter((checkpoint) => checkpoint !== old);
    }
  }

  async #delete(path: string): Promise<void> {
    const names = await readdir(path).catch((): string[] => []);
    if (names.every((name) => this.#files.has(name))) {
      // Rename first, so that a half-deleted checkpoint does not look like a checkpoint.
      const aside = temporaryBeside(path);
      await rename(path, aside).catch(ignoreMissing);
      await rm(aside, { recursive: true, force: true });
      return;
    }
    // The directory holds other files, too. Without its state it is no checkpoint any more.
    const own = names.filter((name) => this.#files.has(name) && name !== STATE_NAME);
    for (const name of [STATE_NAME, ...own]) await unlink(join(path, name)).catch(ignoreMissing);
  }

  /** Renames a checkpoint of diverged weights, so that no run resumes from it. Returns the new path. */
  async setAside({ path }: Checkpoint): Promise<string> {
    const aside = await freeName(join(this.path, `diverged-${basename(path)}`));
    await rename(path, aside);
    this.#checkpoints = this.#checkpoints.filter((checkpoint) => checkpoint.path !== path);
    return aside;
  }

  /**
   * Locks the directory again after {@link close}.
   * @throws INVALID_ARGUMENT while another training holds it
   */
  async lock(): Promise<void> {
    this.#lock ??= await lockDirectory(this.path);
  }

  /** Releases the directory for other trainings. */
  close(): void {
    this.#lock?.release();
    this.#lock = null;
  }
}

/** Returns the path, or the path with the first number appended that is free. */
async function freeName(path: string): Promise<string> {
  const taken = new Set(await readdir(dirname(path)));
  let name = basename(path);
  for (let i = 2; taken.has(name); i++) name = `${basename(path)}-${i}`;
  return join(dirname(path), name);
}

function ignoreMissing(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
}
