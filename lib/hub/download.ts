import { stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import {
  arrayOf,
  callback,
  check,
  checker,
  checkOptions,
  signal as signalChecker,
  type Schema,
} from '../check';
import { ForetokenError } from '../errors';
import { fileAccessError, isSystemError, makeDirectory } from '../files';
import { fetchBlob, hasSize } from './blob';
import { filesBelow, ModelFolder } from './cache';
import { filesOfModel, matchesPattern, matchingFiles } from './choose-files';
import { listModel, type HubFile } from './listing';
import { missingFrom } from './locate';
import { DEFAULT_REVISION, isRevision, parseRepoId } from './repo-id';
import { cacheDirectory, hubSettings, offlineBy } from './settings';

/** Options of {@link downloadModel}. */
export interface DownloadOptions {
  /** A branch, a tag or the hash of a commit. Default: `main` */
  revision?: string;
  /**
   * Names of files, or patterns in which * stands for any characters and ? for one. Default: the files that a model needs:
   * configuration, tokenizer, chat template and weights in the format of safetensors
   */
  files?: string[];
  /** Ends the download. What is there by then is kept, and the next download continues. */
  signal?: AbortSignal;
  /** Called as bytes arrive. */
  onProgress?: (progress: DownloadProgress) => void;
}

/** Progress of {@link downloadModel}. */
export interface DownloadProgress {
  /** The file that arrives. */
  file: string;
  /** Bytes of all files that are there, earlier ones included. */
  bytes: number;
  /** Bytes of all files. */
  totalBytes: number;
  /** The process that downloads `file` at the moment, if it is another one. */
  waitingFor?: string;
}

/** A model in the cache. */
export interface DownloadedModel {
  /** Where the model is, for `loadModel`: a directory, or the file if a single GGUF file was asked for. */
  path: string;
  /** The hash of the commit. */
  commit: string;
  /** The names of the files. */
  files: string[];
}

const REPO = checker<string>(
  'owner/name or owner/name@revision',
  (value) => typeof value === 'string' && parseRepoId(value) !== undefined,
);
const REVISION = checker<string>(
  'a branch, a tag or the hash of a commit',
  (value) => typeof value === 'string' && isRevision(value),
);
const PATTERN = checker<string>(
  "a file's name or a pattern",
  (value) => typeof value === 'string' && value !== '',
);
const OPTIONS: Schema<DownloadOptions> = {
  revision: REVISION,
  files: arrayOf(PATTERN),
  signal: signalChecker,
  onProgress: callback,
};

/**
 * Downloads a model from the Hugging Face Hub into the cache that Python's huggingface_hub shares, and checks sizes and hashes. Files
 * that are in the cache are not downloaded again; an interrupted file is continued.
 *
 * The environment says where: HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_CACHE. With HF_HUB_OFFLINE=1 nothing is downloaded, and the
 * model has to be in the cache.
 * @param repo `owner/name` or `owner/name@revision`
 * @throws INVALID_ARGUMENT naming the option; DOWNLOAD_FAILED saying what the Hub refuses or what it sent wrongly; FILE_ACCESS if the
 * system refuses; the reason of the signal
 * @example
 * ```ts
 * import { downloadModel, LanguageModel } from 'foretoken';
 *
 * await downloadModel('Qwen/Qwen3-0.6B', { onProgress: ({ bytes, totalBytes }) => console.log(bytes / totalBytes) });
 * using model = await LanguageModel.load('Qwen/Qwen3-0.6B');
 * for await (const { text } of model.generate('Once upon a time')) process.stdout.write(text);
 * ```
 */
export async function downloadModel(repo: string, options: DownloadOptions = {}): Promise<DownloadedModel> {
  check('downloadModel: repo', repo, REPO);
  const checked = checkOptions('downloadModel', options, OPTIONS);
  const { name, revision: own } = parseRepoId(repo)!;
  if (own !== undefined && checked.revision !== undefined && own !== checked.revision) {
    const problem = `revision is ${JSON.stringify(checked.revision)}, but repo asks for ${JSON.stringify(own)}`;
    throw new ForetokenError('INVALID_ARGUMENT', `downloadModel: ${problem}`);
  }
  const wanted = { ...checked, revision: own ?? checked.revision ?? DEFAULT_REVISION };
  wanted.signal?.throwIfAborted();
  const cache = cacheDirectory();
  const folder = new ModelFolder(cache, name);
  const offline = offlineBy();
  if (offline !== undefined) return await findDownloaded(folder, wanted, offline);
  try {
    return await download(cache, folder, wanted);
  } catch (cause) {
    throw isSystemError(cause) ? fileAccessError('write', folder.path, cause) : cause;
  }
}

type Wanted = DownloadOptions & { revision: string };

async function download(
  cache: string,
  folder: ModelFolder,
  { revision, files: patterns, signal, onProgress }: Wanted,
): Promise<DownloadedModel> {
  const hub = await hubSettings();
  const { name } = folder;
  const { commit, files } = await listModel(hub, name, revision, signal);
  const isThere = async ({ path, id, size }: HubFile): Promise<boolean> =>
    (await hasSize(join(folder.snapshot(commit), path), size)) || (await hasSize(folder.blob(id), size));
  const fetch = (file: HubFile, report: (bytes: number, waitingFor?: string) => void): Promise<void> => {
    const onWait = (holder: string): void => report(0, holder);
    return fetchBlob({ hub, folder, commit, file, signal, onBytes: report, onWait });
  };
  const chosen = patterns
    ? matchingFiles(name, files, patterns)
    : await filesOfModel(name, files, async (index) => {
        const pointer = join(folder.snapshot(commit), index.path);
        if (await hasSize(pointer, index.size)) return pointer;
        await fetch(index, () => undefined);
        return folder.blob(index.id);
      });
  const missing: HubFile[] = [];
  for (const file of chosen) if (!(await isThere(file))) missing.push(file);
  const sum = (of: readonly HubFile[]): number => of.reduce((total, { size }) => total + size, 0);
  const totalBytes = sum(chosen);
  let done = totalBytes - sum(missing);
  if (missing.length > 0) {
    await makeDirectory(cache);
    await folder.tag();
    const parts = missing.map(({ id }) =>
      stat(folder.part(id)).then(
        ({ size }) => size,
        () => 0,
      ),
    );
    const present = (await Promise.all(parts)).reduce((total, size) => total + size, 0);
    await checkSpace(cache, sum(missing) - present);
  }
  for (const file of missing) {
    await fetch(file, (bytes, waitingFor) => {
      const progress = { file: file.path, bytes: done + bytes, totalBytes };
      onProgress?.(waitingFor === undefined ? progress : { ...progress, waitingFor });
    });
    done += file.size;
  }
  // All at the end, so that a snapshot appears when it is complete.
  const unlinked: HubFile[] = [];
  for (const file of chosen) {
    if (!(await hasSize(join(folder.snapshot(commit), file.path), file.size))) unlinked.push(file);
  }
  for (const [i, { path, id }] of unlinked.entries()) {
    const isShared = unlinked.slice(i + 1).some((other) => other.id === id);
    await folder.link(commit, path, id, !isShared && missing.some((file) => file.id === id));
  }
  await folder.writeRef(revision, commit);
  return downloaded(
    folder.snapshot(commit),
    commit,
    chosen.map(({ path }) => path),
    patterns,
  );
}

/** @throws FILE_ACCESS if a disk has less space than `bytes` */
async function checkSpace(directory: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(directory);
  const free = bavail * bsize;
  // Some file systems do not know their space and report 0.
  if (free === 0 || free >= bytes) return;
  const megabytes = [bytes, free].map((each) => `${(each / 1e6).toFixed(1)} MB`);
  const problem = `the download needs ${megabytes[0]}, but only ${megabytes[1]} are free`;
  throw new ForetokenError(
    'FILE_ACCESS',
    `cannot write ${directory}: ${problem}; free some, or set HF_HUB_CACHE to a directory elsewhere`,
  );
}

function downloaded(
  snapshot: string,
  commit: string,
  files: string[],
  patterns: readonly string[] | undefined,
): DownloadedModel {
  const only = patterns && files.length === 1 && files[0]!.endsWith('.gguf');
  return { path: only ? join(snapshot, files[0]!) : snapshot, commit, files };
}

/** Finds what an earlier download has left in the cache. */
async function findDownloaded(
  folder: ModelFolder,
  { revision, files: patterns }: Wanted,
  offline: string,
): Promise<DownloadedModel> {
  const found = await folder.find(revision);
  const names = found ? await filesBelow(found.directory) : [];
  const isComplete = patterns
    ? patterns.every((pattern) => names.some((name) => matchesPattern(name, pattern)))
    : found && (await missingFrom(found.directory)) === undefined;
  if (!found || !isComplete) {
    const problem = `${folder.name} is not in the cache, or not all of it, and ${offline} forbids to download`;
    throw new ForetokenError('DOWNLOAD_FAILED', problem);
  }
  const chosen = patterns
    ? names.filter((name) => patterns.some((pattern) => matchesPattern(name, pattern)))
    : names;
  return downloaded(found.directory, found.commit, chosen, patterns);
}
