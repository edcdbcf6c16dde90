// Downloads that are cut, spoilt, slow, stopped, or made twice at once.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import fsPromises, { type FileHandle } from 'node:fs/promises';
import { constants } from 'node:os';
import { join } from 'node:path';
import timers from 'node:timers/promises';
import { downloadModel, type DownloadProgress } from '../../lib/hub/download';
import { ModelFolder } from '../../lib/hub/cache';
import { FileLock } from '../../lib/lock';
import { gitHash, sha256, type ServedFile } from '../support/hub-server';
import { TestHub } from '../support/hub';

const hub = new TestHub();
let weights: ServedFile;
let folder: ModelFolder;
let id: string;

beforeEach(() => {
  weights = hub.serveModel().files['model.safetensors']!;
  folder = new ModelFolder(hub.cache, 'owner/tiny');
  id = sha256(weights.content);
});

/** Lets the pauses between attempts take no time, and returns their lengths in seconds. */
function skipPauses(): number[] {
  const pauses: number[] = [];
  jest.spyOn(timers, 'setTimeout').mockImplementation((milliseconds = 0) => {
    pauses.push(milliseconds / 1000);
    return Promise.resolve();
  });
  return pauses;
}

const ranges = (): (string | undefined)[] =>
  hub.server
    .requestsFor('model.safetensors')
    .filter(({ server }) => server === 'storage')
    .map(({ range }) => range);

function expectWhole(): void {
  expect(readFileSync(folder.blob(id)).equals(weights.content)).toBe(true);
  expect(readdirSync(join(folder.path, 'blobs')).filter((name) => name.includes('incomplete'))).toEqual([]);
  expect(existsSync(folder.lock(id))).toBe(false);
}

describe('a connection that is cut', () => {
  it('is opened again where it was cut, as long as bytes arrive', async () => {
    const pauses = skipPauses();
    weights.cuts = Array.from({ length: 8 }, () => 10_000);
    await downloadModel('owner/tiny');
    expectWhole();
    const from = [1, 2, 3, 4, 5, 6, 7, 8].map((cuts) => cuts * 10_000);
    expect(ranges()).toEqual([undefined, ...from.map((at) => `bytes=${at}-`)]);
    expect(pauses).toEqual(from.map(() => 1));
  });

  it('is given up after five attempts without a byte; the next download continues', async () => {
    const pauses = skipPauses();
    weights.cuts = [30_000, 0, 0, 0, 0, 0];
    await expect(downloadModel('owner/tiny')).rejects.toMatchObject({
      code: 'DOWNLOAD_FAILED',
      message: expect.stringMatching(
        /^cannot reach http:.*: the connection was cut; 30000 of 100000 bytes of model\.safetensors are kept, and the same download continues there$/,
      ),
    });
    expect(pauses).toEqual([1, 2, 4, 8]);
    expect(existsSync(folder.snapshot(hub.server.models[0]!.commit))).toBe(false);
    weights.cuts = [];
    await downloadModel('owner/tiny');
    expectWhole();
    expect(ranges().at(-1)).toBe('bytes=30000-');
  });

  it('starts again with a server that ignores ranges', async () => {
    skipPauses();
    weights.wholeOnly = true;
    weights.cuts = [30_000];
    const seen: DownloadProgress[] = [];
    await downloadModel('owner/tiny', { onProgress: (progress) => seen.push(progress) });
    expectWhole();
    expect(seen.at(-1)!.bytes).toBe(seen.at(-1)!.totalBytes);
  });

  it('waits as long as a busy server asks', async () => {
    const pauses = skipPauses();
    weights.statuses = [503, 500];
    hub.server.statuses.push({ status: 429, headers: { 'retry-after': '7' } }, { status: 504 });
    await downloadModel('owner/tiny');
    expectWhole();
    expect(pauses).toEqual([7, 2, 1, 2]);
  });
});

describe('wrong contents', () => {
  it('are refused by their hash and deleted', async () => {
    weights.sent = Buffer.alloc(100_000, 'Weights ');
    await expect(downloadModel('owner/tiny')).rejects.toThrow(
      `sent model.safetensors damaged: its hash is ${sha256(weights.sent)}, but should be ${id}; it was deleted`,
    );
    expect(existsSync(folder.part(id))).toBe(false);
    expect(existsSync(folder.blob(id))).toBe(false);
  });

  it('of a small file are refused by its git hash', async () => {
    const config = hub.server.models[0]!.files['config.json']!;
    config.sent = Buffer.from(config.content.toString().replace('llama', 'Llama'));
    await expect(downloadModel('owner/tiny')).rejects.toThrow('sent config.json damaged');
  });

  it.each([
    ['more', 100_001, 'sent more than the 100000 bytes of model.safetensors; it was deleted'],
    ['fewer', 99_999, 'ended model.safetensors early; 99999 of 100000 bytes'],
  ])('with %s bytes are refused', async (_, length, message) => {
    skipPauses();
    weights.sent = Buffer.concat([weights.content, Buffer.from('x')]).subarray(0, length);
    await expect(downloadModel('owner/tiny')).rejects.toThrow(message);
  });

  it('of an earlier attempt at an empty file are deleted', async () => {
    hub.server.serve('owner/empty', { 'merges.txt': '' });
    const empty = gitHash(Buffer.of());
    folder = new ModelFolder(hub.cache, 'owner/empty');
    mkdirSync(join(folder.path, 'blobs'), { recursive: true });
    writeFileSync(folder.part(empty), 'x');
    const { path } = await downloadModel('owner/empty', { files: ['merges.txt'] });
    expect(readFileSync(join(path, 'merges.txt'), 'utf8')).toBe('');
  });

  it('of an earlier attempt are replaced by a whole download', async () => {
    mkdirSync(join(folder.path, 'blobs'), { recursive: true });
    for (const spoilt of [Buffer.alloc(500, 'x'), Buffer.alloc(100_000, 'x'), Buffer.alloc(100_001)]) {
      writeFileSync(folder.part(id), spoilt);
      await downloadModel('owner/tiny', { files: ['model.safetensors'] });
      expectWhole();
      writeFileSync(folder.blob(id), '');
    }
  });
});

describe('a slow server', () => {
  it('is waited for while bytes arrive', async () => {
    hub.setEnvironment({ HF_HUB_DOWNLOAD_TIMEOUT: '0.5' });
    weights.slow = { bytes: 25_000, milliseconds: 250 };
    await downloadModel('owner/tiny');
    expectWhole();
    expect(ranges()).toEqual([undefined]);
  });

  it('is asked again when nothing arrives', async () => {
    hub.setEnvironment({ HF_HUB_DOWNLOAD_TIMEOUT: '0.2' });
    weights.slow = { bytes: 40_000, milliseconds: 60_000 };
    await downloadModel('owner/tiny', {
      onProgress: ({ bytes }) => {
        if (bytes > 80_000) weights.slow = undefined;
      },
    });
    expectWhole();
    expect(ranges()).toEqual([undefined, 'bytes=40000-', 'bytes=80000-']);
  });
});

describe('a signal', () => {
  it('ends a download with its reason, and leaves a part that the next one continues', async () => {
    const controller = new AbortController();
    weights.slow = { bytes: 10_000, milliseconds: 50 };
    const reason = new Error('enough');
    const onProgress = ({ file, bytes }: DownloadProgress): void => {
      if (file === 'model.safetensors' && bytes > 20_000) controller.abort(reason);
    };
    await expect(downloadModel('owner/tiny', { signal: controller.signal, onProgress })).rejects.toBe(reason);
    expect(existsSync(folder.lock(id))).toBe(false);
    weights.slow = undefined;
    await downloadModel('owner/tiny');
    expectWhole();
    expect(ranges()).toEqual([undefined, expect.stringMatching(/^bytes=[2-9]0000-$/)]);
  });

  it('ends a pause between attempts, a wait for another process, and a download that has not begun', async () => {
    const reason = new Error('enough');
    const stopping = (after: number): AbortSignal => {
      const controller = new AbortController();
      setTimeout(() => controller.abort(reason), after);
      return controller.signal;
    };
    weights.statuses = [503];
    await expect(downloadModel('owner/tiny', { signal: stopping(300) })).rejects.toBe(reason);
    const lock = (await FileLock.take(folder.lock(id))) as FileLock;
    await expect(downloadModel('owner/tiny', { signal: stopping(300) })).rejects.toBe(reason);
    lock.release();
    const before = hub.server.seen.length;
    await expect(downloadModel('owner/tiny', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(hub.server.seen).toHaveLength(before);
  });
});

describe('two downloads of one file', () => {
  it('at once: one waits, and both have it', async () => {
    weights.slow = { bytes: 10_000, milliseconds: 100 };
    const waits = new Set<string | undefined>();
    const onProgress = ({ waitingFor }: DownloadProgress): unknown => waits.add(waitingFor);
    const both = [1, 2].map(() => downloadModel('owner/tiny', { onProgress }));
    const [one, other] = await Promise.all(both);
    expect(one).toEqual(other);
    expectWhole();
    expect(ranges()).toEqual([undefined]);
    expect([...waits].join()).toContain(`process ${process.pid}`);
  });

  it('the second takes over from a process that was killed', async () => {
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    const lock = (await FileLock.take(folder.lock(id))) as FileLock;
    const content = JSON.parse(readFileSync(folder.lock(id), 'utf8')) as object;
    lock.release();
    mkdirSync(join(hub.cache, '.locks/models--owner--tiny'), { recursive: true });
    writeFileSync(folder.lock(id), JSON.stringify({ ...content, pid: child.pid, started: null }));
    const files = ['model.safetensors'];
    let waits = 0;
    const onProgress = ({ waitingFor }: DownloadProgress): void => {
      if (waitingFor === undefined) return;
      waits += 1;
      child.kill('SIGKILL');
    };
    await downloadModel('owner/tiny', { files, onProgress });
    expect(waits).toBe(1);
    expectWhole();
  });
});

describe('a full disk', () => {
  it('is noticed before the download', async () => {
    const space = { bfree: 1 << 20, bavail: 16, bsize: 4096 };
    const disk = Object.assign(await fsPromises.statfs(hub.path), space);
    jest.spyOn(fsPromises, 'statfs').mockResolvedValue(disk);
    await expect(downloadModel('owner/tiny')).rejects.toMatchObject({
      code: 'FILE_ACCESS',
      message: `cannot write ${hub.cache}: the download needs 0.1 MB, but only 0.1 MB are free; free some, or set HF_HUB_CACHE to a directory elsewhere`,
    });
    expect(ranges()).toEqual([]);
  });

  it('or during it; what was written is kept', async () => {
    const handle = await fsPromises.open(hub.write('any', ''));
    const handles = Object.getPrototypeOf(handle) as FileHandle;
    await handle.close();
    const refusal = { code: 'ENOSPC', errno: -constants.errno.ENOSPC, syscall: 'write' };
    weights.slow = { bytes: 20_000, milliseconds: 20 };
    const write = jest.spyOn(handles, 'write');
    let kept = 0;
    const onProgress = ({ file, bytes }: DownloadProgress): void => {
      if (file !== 'model.safetensors' || bytes < 20_000 || kept > 0) return;
      kept = statSync(folder.part(id)).size;
      write.mockRejectedValue(Object.assign(new Error('refused'), refusal));
    };
    await expect(downloadModel('owner/tiny', { onProgress })).rejects.toMatchObject({
      code: 'FILE_ACCESS',
      message: expect.stringMatching(/^cannot write .*incomplete: no space left on device$/),
    });
    write.mockRestore();
    weights.slow = undefined;
    await downloadModel('owner/tiny');
    expectWhole();
    expect(ranges()).toEqual([undefined, `bytes=${kept}-`]);
  });
});
