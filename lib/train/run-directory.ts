import { readdir, rename, rm, unlink } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { ForetokenError } from '../errors';
import { listCheckpoints, STATE_NAME } from '../model/checkpoint';
import { removeTemporaries, temporaryBeside, writeDirectoryAtomic } from '../files';
import { DirectoryLock, LOCK_NAME } from './lock';
import { LOG_NAME, TrainingLog } from './log';
import { writeCheckpointFiles, type SavedState, type Trained, type TrainerState } from './state';

/** A checkpoint that was published. */
export interface Checkpoint {
  readonly step: number;
  readonly path: string;
}

/**
 * The directory of a training run: its log and its checkpoints. It belongs to one training at a time, and whatever others
 * keep in it stays: only checkpoints of this run are deleted.
 */
export class RunDirectory {
  /** The run's checkpoints, oldest first. */
  #checkpoints: Checkpoint[] = [];
  /** Names of the files that a checkpoint of this run has. */
  #files: ReadonlySet<string> = new Set();

  #lock: DirectoryLock | null = null;

  private constructor(readonly path: string) {}

  /**
   * Takes a directory, which is made if needed, and removes what killed runs left of unfinished files.
   * @param step steps done
   * @param resumed the checkpoint that the run goes on from
   * @throws INVALID_ARGUMENT while another training has it, or when it holds later checkpoints
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
    const there = await listCheckpoints(this.path);
    const newest = there.at(-1);
    if (newest && newest.step > step) {
      const advice =
        step > 0 ? 'delete it, or resume from the newest one' : 'resume it, or give another output directory';
      throw new ForetokenError(
        'INVALID_ARGUMENT',
        `${this.path}: there is a later checkpoint already, of step ${newest.step}; ${advice}`,
      );
    }
    if (resumed && resolve(dirname(resumed.checkpoint)) === resolve(this.path)) this.#checkpoints = there;
  }

  /** The newest checkpoint of this run in the directory. */
  get newest(): Checkpoint | null {
    return this.#checkpoints.at(-1) ?? null;
  }

  /** Starts the run's log, or goes on with it behind `step`. */
  openLog(step: number): Promise<TrainingLog> {
    const path = join(this.path, LOG_NAME);
    return step === 0 ? TrainingLog.create(path) : TrainingLog.resume(path, step);
  }

  /**
   * Publishes `checkpoint-<step>`. What has that name already and is more than a checkpoint of this run is moved aside.
   * @param warn told where it was moved to
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
      const inTheWay = await readdir(path).catch((error: unknown) =>
        (error as NodeJS.ErrnoException).code === 'ENOENT' ? [] : [basename(path)],
      );
      const own = this.#checkpoints.some((checkpoint) => checkpoint.path === path);
      if (inTheWay.length > 0 && !(own && inTheWay.every((name) => this.#files.has(name)))) {
        const aside = await freeName(`${path}.old`);
        await rename(path, aside);
        warn(`${path} was in the way of a checkpoint: it is ${aside} now`);
      }
    });
    const checkpoint = { step: state.step, path };
    this.#checkpoints = [...this.#checkpoints.filter((old) => old.path !== path), checkpoint];
    return checkpoint;
  }

  /** Deletes this run's checkpoints but for the newest `keep`. */
  async rotate(keep: number): Promise<void> {
    for (const old of this.#checkpoints.slice(0, -keep)) {
      await this.#delete(old.path);
      this.#checkpoints = this.#checkpoints.filter((checkpoint) => checkpoint !== old);
    }
  }

  async #delete(path: string): Promise<void> {
    const names = await readdir(path).catch((): string[] => []);
    if (names.every((name) => this.#files.has(name))) {
      // In one go: half a checkpoint must not look like one.
      const aside = temporaryBeside(path);
      await rename(path, aside).catch(ignoreMissing);
      await rm(aside, { recursive: true, force: true });
      return;
    }
    // Somebody keeps files of his own there. Without its state it is no checkpoint any more.
    const own = names.filter((name) => this.#files.has(name) && name !== STATE_NAME);
    for (const name of [STATE_NAME, ...own]) await unlink(join(path, name)).catch(ignoreMissing);
  }

  /** Gives a checkpoint whose weights are of no use another name, so that nothing resumes from it. Returns that name. */
  async setAside({ path }: Checkpoint): Promise<string> {
    const aside = await freeName(join(this.path, `diverged-${basename(path)}`));
    await rename(path, aside);
    this.#checkpoints = this.#checkpoints.filter((checkpoint) => checkpoint.path !== path);
    return aside;
  }

  /**
   * Takes the directory again after {@link close}.
   * @throws INVALID_ARGUMENT while another training has it
   */
  async lock(): Promise<void> {
    this.#lock ??= await DirectoryLock.acquire(this.path);
  }

  /** Lets other trainings have the directory. */
  close(): void {
    this.#lock?.release();
    this.#lock = null;
  }
}

/** The path, or the path with the first number behind it that is free. */
async function freeName(path: string): Promise<string> {
  const taken = new Set(await readdir(dirname(path)));
  let name = basename(path);
  for (let i = 2; taken.has(name); i++) name = `${basename(path)}-${i}`;
  return join(dirname(path), name);
}

function ignoreMissing(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
}
