// A server on this machine that answers like the Hugging Face Hub: large files are redirected to a second server, as to the
// Hub's storage.
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';

/** A file, and how the server misbehaves when it sends it. */
export interface ServedFile {
  content: Buffer;
  /** Whether Git LFS keeps the file. */
  lfs: boolean;
  /** Lengths after which the connection is cut, one for each of the next requests. */
  cuts: number[];
  /** Bytes in place of the content. */
  sent?: Buffer;
  /** Whether a range is ignored. */
  wholeOnly?: boolean;
  /** Sends a piece of this many bytes, waits, and so on. */
  slow?: { bytes: number; milliseconds: number };
  /** Statuses in place of the next answers. */
  statuses: number[];
}

export interface ServedModel {
  name: string;
  commit: string;
  revisions: string[];
  files: Record<string, ServedFile>;
  /** Gated models are for one token; private ones seem not to exist without it. */
  access: 'public' | 'gated' | 'private';
}

/** One request as the server got it. */
export interface Seen {
  server: 'hub' | 'storage';
  url: string;
  range: string | undefined;
  authorization: string | undefined;
}

/** Time between the last byte and the end of a connection that is cut. */
const CUT_MS = 50;

export const GOOD_TOKEN = 'hf_good';
export const POOR_TOKEN = 'hf_poor';

export const sha256 = (content: Buffer): string => createHash('sha256').update(content).digest('hex');
export const gitHash = (content: Buffer): string =>
  createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex');

// Not that of node:timers/promises, which tests replace.
const sleep = promisify(
  (milliseconds: number, done: () => void) => void setTimeout(done, milliseconds).unref(),
);

export class HubServer {
  readonly models: ServedModel[] = [];
  readonly seen: Seen[] = [];
  /** Statuses in place of the next answers about a model. */
  readonly statuses: { status: number; headers?: Record<string, string> }[] = [];
  endpoint = '';
  readonly #hub: Server;
  readonly #storage: Server;
  #storageAddress = '';

  constructor() {
    this.#hub = createServer((request, response) => void this.#answer(request, response));
    this.#storage = createServer((request, response) => void this.#store(request, response));
  }

  async start(): Promise<this> {
    const listen = (server: Server, host: string): Promise<string> =>
      new Promise((resolve) =>
        server.listen(0, '127.0.0.1', () =>
          resolve(`http://${host}:${(server.address() as AddressInfo).port}`),
        ),
      );
    this.endpoint = await listen(this.#hub, '127.0.0.1');
    this.#storageAddress = await listen(this.#storage, 'localhost');
    return this;
  }

  async stop(): Promise<void> {
    for (const server of [this.#hub, this.#storage]) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  /** Offers a model; names that end in .safetensors or .gguf are kept by Git LFS. */
  serve(name: string, files: Record<string, Buffer | string>, more: Partial<ServedModel> = {}): ServedModel {
    const served = Object.entries(files).map(([path, content]): [string, ServedFile] => [
      path,
      {
        content: Buffer.from(content),
        lfs: /\.(safetensors|gguf)$/.test(path),
        cuts: [],
        statuses: [],
      },
    ]);
    const commit = createHash('sha1')
      .update(JSON.stringify([name, Object.keys(files)]))
      .digest('hex');
    const model: ServedModel = {
      ...{ name, commit, revisions: ['main'], files: Object.fromEntries(served), access: 'public' },
      ...more,
    };
    this.models.push(model);
    return model;
  }

  /** The requests for the contents of a file. */
  requestsFor(path: string): Seen[] {
    return this.seen.filter(({ url }) => url.includes(`/resolve/`) && url.endsWith(`/${path}`));
  }

  #note(server: Seen['server'], { url = '', headers }: IncomingMessage): void {
    this.seen.push({ server, url, range: headers.range, authorization: headers.authorization });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#note('hub', request);
    const fail = (status: number, code: string, message: string): void => {
      response.writeHead(status, { 'x-error-code': code, 'x-error-message': message });
      response.end(JSON.stringify({ error: message }));
    };
    const next = this.statuses.shift();
    if (next) return void response.writeHead(next.status, next.headers).end('{}');
    const url = new URL(request.url!, this.endpoint);
    const match =
      /^\/api\/models\/([^/]+\/[^/]+)\/revision\/([^/]+)()$/.exec(url.pathname) ??
      /^\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(url.pathname);
    const [name, revision, path] = (match ?? []).slice(1).map((part) => decodeURIComponent(part));
    const token = request.headers.authorization?.replace('Bearer ', '');
    if (token && ![GOOD_TOKEN, POOR_TOKEN].includes(token)) {
      return void response
        .writeHead(401, { 'x-error-message': 'Invalid credentials in Authorization header' })
        .end('{}');
    }
    const model = this.models.find((each) => each.name === name);
    const isAllowed = model?.access === 'public' || token === GOOD_TOKEN;
    if (!model || (model.access === 'private' && !isAllowed)) {
      fail(token ? 404 : 401, 'RepoNotFound', 'Repository not found');
      return;
    }
    if (model.revisions.includes(revision!) || revision === model.commit) {
      if (path === '') return void response.end(JSON.stringify(describe(model)));
    } else {
      fail(404, 'RevisionNotFound', `Invalid rev id: ${revision}`);
      return;
    }
    if (!isAllowed) {
      fail(token ? 403 : 401, 'GatedRepo', `Access to model ${name} is restricted.`);
      return;
    }
    const file = model.files[path!];
    if (!file) {
      fail(404, 'EntryNotFound', 'Entry not found');
      return;
    }
    response.setHeader('x-repo-commit', model.commit);
    if (file.lfs) {
      response.writeHead(302, {
        location: `${this.#storageAddress}/storage/${name}/resolve/${model.commit}/${path}`,
        'x-linked-etag': `"${sha256(file.content)}"`,
        'x-linked-size': String(file.content.length),
      });
      response.end();
    } else await send(file, request, response, gitHash(file.content));
  }

  async #store(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#note('storage', request);
    const [, name, path] = /^\/storage\/([^/]+\/[^/]+)\/resolve\/[^/]+\/(.+)$/.exec(request.url!)!;
    const file = this.models.find((each) => each.name === name)!.files[path!]!;
    await send(file, request, response, 'of-the-storage');
  }
}

/** The answer of /api/models/…/revision/…?blobs=true. */
function describe({ name, commit, files }: ServedModel): object {
  const siblings = Object.entries(files).map(([rfilename, { content, lfs }]) => ({
    rfilename,
    size: content.length,
    blobId: gitHash(content),
    ...(lfs && { lfs: { sha256: sha256(content), size: content.length, pointerSize: 134 } }),
  }));
  return { id: name, sha: commit, siblings };
}

async function send(
  file: ServedFile,
  { headers }: IncomingMessage,
  response: ServerResponse,
  etag: string,
): Promise<void> {
  const status = file.statuses.shift();
  if (status !== undefined) return void response.writeHead(status).end();
  const content = file.sent ?? file.content;
  const range = file.wholeOnly ? null : /^bytes=(\d+)-$/.exec(headers.range ?? '');
  const from = Number(range?.[1] ?? 0);
  const cut = file.cuts.shift();
  const end = Math.min(content.length, from + (cut ?? content.length));
  response.writeHead(range ? 206 : 200, {
    etag: `"${etag}"`,
    'accept-ranges': 'bytes',
    'content-length': content.length - from,
    ...(range && { 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` }),
  });
  const { bytes, milliseconds } = file.slow ?? { bytes: end - from, milliseconds: 0 };
  for (let at = from; at < end; at += bytes) {
    await new Promise((resolve) => response.write(content.subarray(at, Math.min(at + bytes, end)), resolve));
    if (milliseconds > 0) await sleep(milliseconds);
    if (response.destroyed) return;
  }
  if (cut !== undefined) {
    // fetch drops bytes that were not read yet when the connection ends.
    await sleep(CUT_MS);
    response.socket?.end();
  } else response.end();
}
