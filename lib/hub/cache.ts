import { copyFile, readdir, readFile, rename, stat, symlink } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { makeDirectory, temporaryBeside, writeFileAtomic } from '../files';
import { DEFAULT_REVISION, isCommit, isRevision } from './repo-id';

/**
 * The folder of one model in the cache, laid out as by Python's huggingface_hub, so that each finds what the other has downloaded:
 *
 *     models--Qwen--Qwen3-0.6B/
 *       blobs/<sha256, or git's hash of a small file>
 *       refs/main                                 the hash of a commit, without a line break
 *       snapshots/<commit>/config.json            a relative link to its blob; the blob itself on systems without links
 *     .locks/models--Qwen--Qwen3-0.6B/            files of processes that download
 */
export class ModelFolder {
  readonly path: string;

  constructor(
    private readonly cache: string,
    readonly name: string,
  ) {
    this.path = join(cache, this.#folder);
  }

  get #folder(): string {
    return ['models', ...this.name.split('/')].join('--');
  }

  blob(id: string): string {
    return join(this.path, 'blobs', id);
  }

  /** An incomplete blob. The name differs from that of huggingface_hub, whose locks Node cannot take. */
  part(id: string): string {
    return `${this.blob(id)}.foretoken-incomplete`;
  }

  lock(id: string): string {
    return join(this.cache, '.locks', this.#folder, `${id}.foretoken-lock`);
  }

  snapshot(commit: string): string {
    return join(this.path, 'snapshots', commit);
  }

  /** Finds the commit that a revision had when it was downloaded last. */
  async commitOf(revision: string): Promise<string | undefined> {
    if (isCommit(revision)) return revision;
    const text = await readFile(join(this.path, 'refs', revision), 'utf8').catch(() => '');
    return isCommit(text.trim()) ? text.trim() : undefined;
  }

  /** Finds the files of a revision that was downloaded. */
  async find(revision = DEFAULT_REVISION): Promise<{ commit: string; directory: string } | undefined> {
    const commit = await this.commitOf(revision);
    if (commit === undefined) return undefined;
    const directory = this.snapshot(commit);
    return (await stat(directory).catch(() => undefined)) && { commit, directory };
  }

  /** Lists the branches and tags in the cache. */
  async revisions(): Promise<string[]> {
    return (await filesBelow(join(this.path, 'refs'))).filter(isRevision);
  }

  /** Notes the commit of a branch or tag. */
  async writeRef(revision: string, commit: string): Promise<void> {
    if (isCommit(revision) || (await this.commitOf(revision)) === commit) return;
    await writeFileAtomic(join(this.path, 'refs', revision), commit);
  }

  /**
   * Puts a blob into a snapshot: as a link or, if the system has none, by moving or copying it.
   * @param move whether nothing else needs the blob
   */
  async link(commit: string, path: string, id: string, move: boolean): Promise<void> {
    const [blob, pointer] = [this.blob(id), join(this.snapshot(commit), path)];
    const temporary = temporaryBeside(pointer);
    await makeDirectory(dirname(pointer));
    try {
      await symlink(relative(dirname(pointer), blob), temporary);
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException;
      if (['ENOSPC', 'EDQUOT', 'EROFS', 'ENOENT'].includes(code)) throw error;
      await (move ? rename(blob, temporary) : copyFile(blob, temporary));
    }
    // Another process, which has the same link already, never finds it missing.
    await rename(temporary, pointer);
  }

  /** Marks the cache for programs that make backups (https://bford.info/cachedir). */
  async tag(): Promise<void> {
    const text =
      'Signature: 8a477f597d28d172789f06886806bc55\n# A cache of models from the Hugging Face Hub.\n';
    const path = join(this.cache, 'CACHEDIR.TAG');
    if (!(await stat(path).catch(() => undefined))) await writeFileAtomic(path, text);
  }
}

/** Lists the files below a directory in order, with slashes; none of a missing directory, and no links that lead nowhere. */
export async function filesBelow(directory: string): Promise<string[]> {
  const names = await readdir(directory, { recursive: true }).catch(() => []);
  const isFile = await Promise.all(
    names.map((name) =>
      stat(join(directory, name)).then(
        (status) => status.isFile(),
        () => false,
      ),
    ),
  );
  return names
    .filter((_, i) => isFile[i])
    .map((name) => name.replaceAll('\\', '/'))
    .sort();
}
