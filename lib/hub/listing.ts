import { isInteger } from '../check';
import { ForetokenError } from '../errors';
import { isJsonObject } from '../files';
import { isCommit } from './repo-id';
import { request, retrying } from './request';
import type { HubSettings } from './settings';

/** A file of a model on the Hub. */
export interface HubFile {
  /** Its name, with slashes. */
  readonly path: string;
  readonly size: number;
  /** The name of its blob: its sha256 if Git LFS keeps it, or git's hash. The Hub sends the same as ETag. */
  readonly id: string;
}

/** A model on the Hub at one commit. */
export interface Listing {
  readonly commit: string;
  readonly files: readonly HubFile[];
}

/**
 * Asks the Hub for the commit of a revision, and its files with sizes and hashes.
 *
 * This request and that of a file are all that foretoken needs. @huggingface/hub 2.17 would add 12 MB of packages for them, and its
 * downloads neither resume nor check hashes, share unfinished files without a lock, and ignore HF_ENDPOINT and HF_TOKEN.
 * @throws DOWNLOAD_FAILED
 */
export async function listModel(
  hub: HubSettings,
  name: string,
  revision: string,
  signal: AbortSignal | undefined,
): Promise<Listing> {
  const path = `/api/models/${name}/revision/${encodeURIComponent(revision)}?blobs=true`;
  try {
    const wanted = `revision ${JSON.stringify(revision)}`;
    const json = await retrying(
      () => request({ hub, name, wanted, path, signal }, (response) => response.json()),
      signal,
      // Without a connection, a user had better know at once.
      ({ answered }) => (answered ? 'stuck' : 'give up'),
    );
    return parseListing(json);
  } catch (error) {
    // Anything but a Hub, such as the page of a proxy, answers with something else.
    if (!(error instanceof SyntaxError)) throw error;
    const problem = `${hub.endpoint} does not answer like the Hub: ${error.message}`;
    throw new ForetokenError('DOWNLOAD_FAILED', problem, { cause: error });
  }
}

/** @throws SyntaxError */
function parseListing(json: unknown): Listing {
  if (!isJsonObject(json) || !isCommit(String(json.sha))) throw new SyntaxError('it names no commit');
  if (!Array.isArray(json.siblings)) throw new SyntaxError('it lists no files');
  return { commit: json.sha as string, files: json.siblings.map(parseFile) };
}

function parseFile(entry: unknown): HubFile {
  const { rfilename, size, blobId, lfs } = isJsonObject(entry) ? entry : {};
  const [bytes, id] = isJsonObject(lfs) ? [lfs.size, lfs.sha256] : [size, blobId];
  const path = typeof rfilename === 'string' && isSafe(rfilename) ? rfilename : undefined;
  if (path === undefined || !isInteger(bytes, 0) || !/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(String(id))) {
    throw new SyntaxError(`it describes a file as ${JSON.stringify(entry)?.slice(0, 200)}`);
  }
  return { path, size: bytes, id: id as string };
}

/** Whether a name stays inside the directory that it is joined to. */
function isSafe(path: string): boolean {
  return !/[\\\0]|^[a-z]:/i.test(path) && path.split('/').every((part) => !['', '.', '..'].includes(part));
}
