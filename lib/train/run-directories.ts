import { resolve } from 'node:path';
import { RunDirectory, type Checkpoint } from './run-directory';
import type { SavedState } from './state';

/** The directories with checkpoints of a run: its output directory, and others that the caller saves to. */
export class RunDirectories {
  /** The newest checkpoint that is good; null before the first. */
  saved: Checkpoint | null = null;
  /** All directories by absolute path. */
  readonly #directories = new Map<string, RunDirectory>();
  readonly #resumed: SavedState | undefined;

  /**
   * @param output the output directory
   * @param resumed the checkpoint that the run was resumed from
   */
  constructor(
    readonly output: RunDirectory | null,
    resumed?: SavedState,
  ) {
    this.#resumed = resumed;
    if (output) this.#directories.set(resolve(output.path), output);
    if (resumed) this.saved = { step: resumed.state.step, path: resumed.checkpoint };
  }

  /**
   * Locks a directory for the time of `work`; the output directory stays locked.
   * @param step steps done
   */
  async use<T>(path: string, step: number, work: (directory: RunDirectory) => Promise<T>): Promise<T> {
    const absolute = resolve(path);
    const directory = this.#directories.get(absolute) ?? (await RunDirectory.open(path, step, this.#resumed));
    this.#directories.set(absolute, directory);
    await directory.lock();
    try {
      return await work(directory);
    } finally {
      if (directory !== this.output) directory.close();
    }
  }

  /** Deletes the run's checkpoints except the newest `keep` of each directory; failures are warnings. */
  async rotate(keep: number, warn: (message: string) => void): Promise<void> {
    for (const directory of this.#directories.values()) {
      await directory.rotate(keep).catch((error: unknown) => warn((error as Error).message));
    }
  }

  /** Renames checkpoints of a step whose weights have diverged. Returns a clause about each for the message. */
  async setAside(step: number): Promise<string> {
    let clauses = '';
    for (const directory of this.#directories.values()) {
      const { newest } = directory;
      if (newest?.step !== step) continue;
      clauses += `; ${newest.path} has these weights and is now ${await directory.setAside(newest)}`;
      this.saved = directory.newest;
    }
    return clauses;
  }

  /** Releases all directories. */
  close(): void {
    for (const directory of this.#directories.values()) directory.close();
  }
}
