import type { Dirent } from 'node:fs';
import { readdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { GlobOptions } from 'tinyglobby';
import { fileAccessError } from '../../files';
import type { FileProblem } from './problems';

type Entry = Pick<Dirent, 'name' | 'isFile' | 'isDirectory' | 'isSymbolicLink'>;

/**
 * A view of the file system for a search: symbolic links appear as their targets, except inside the target itself, so that a
 * search ends. Remembers real paths, and what could not be read.
 */
export class LinkedTree {
  /** Directories that could not be listed. */
  readonly problems: FileProblem[] = [];
  /** Real path of each listed directory. */
  readonly #directories = new Map<string, string>();
  /** Symbolic links that do not lead to a directory. */
  readonly #links = new Set<string>();

  /** File system functions for `glob`. */
  readonly fs = {
    readdir: (path: string, _: unknown, callback: (error: null, entries: Entry[]) => void) => {
      const directory = path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
      void this.#list(directory).then((entries) => callback(null, entries));
    },
  } as unknown as GlobOptions['fs'];

  async #list(directory: string): Promise<Entry[]> {
    try {
      const real = await realpath(directory);
      if (this.#isInside(directory, real)) return [];
      this.#directories.set(directory, real);
      const entries = await readdir(directory, { withFileTypes: true });
      return await Promise.all(entries.map(async (entry) => this.#resolve(directory, entry)));
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      // A pattern may name a directory that does not exist.
      if (code !== 'ENOENT' && code !== 'ENOTDIR') {
        this.problems.push({ path: directory, error: fileAccessError('read', directory, cause) });
      }
      return [];
    }
  }

  /**
   * Returns the real path of a file that the search found.
   * @throws Error of the system, for a broken link
   */
  async realPath(file: string): Promise<string> {
    if (this.#links.has(file)) return realpath(file);
    return join(this.#directories.get(dirname(file))!, basename(file));
  }

  /** Whether `directory`, which really is `real`, lies inside `real`. */
  #isInside(directory: string, real: string): boolean {
    for (let parent = dirname(directory); this.#directories.has(parent); parent = dirname(parent)) {
      if (this.#directories.get(parent) === real) return true;
      if (parent === dirname(parent)) break;
    }
    return false;
  }

  /** Resolves a link to its target's kind. A broken link counts as a file, so that reading it reports the error. */
  async #resolve(directory: string, entry: Dirent): Promise<Entry> {
    if (!entry.isSymbolicLink()) return entry;
    const path = join(directory, entry.name);
    const status = await stat(path).catch(() => undefined);
    const isDirectory = status?.isDirectory() ?? false;
    if (!isDirectory) this.#links.add(path);
    return {
      name: entry.name,
      isFile: () => status?.isFile() ?? true,
      isDirectory: () => isDirectory,
      isSymbolicLink: () => false,
    };
  }
}
