// Downloads from a server that behaves like the Hub: what is chosen, and where it lies.
import { execFileSync } from 'node:child_process';
import fs, {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
} from 'node:fs';
import fsPromises from 'node:fs/promises';
import { join } from 'node:path';
import { downloadModel, type DownloadProgress } from '../../lib/hub/download';
import { GOOD_TOKEN, gitHash, sha256 } from '../support/hub-server';
import { TestHub } from '../support/hub';
import { asOrdinaryUser } from '../support/temporary';

const hub = new TestHub();
const FOLDER = 'models--owner--tiny';

/** All files below a directory, as a link's target or null. */
function tree(directory: string): Record<string, string | null> {
  const entries = readdirSync(directory, { recursive: true, encoding: 'utf8', withFileTypes: true });
  const files = entries.filter((entry) => !entry.isDirectory());
  return Object.fromEntries(
    files
      .map(({ parentPath, name }) => join(parentPath, name))
      .map((path): [string, string | null] => [
        path.slice(directory.length + 1),
        lstatSync(path).isSymbolicLink() ? readlinkSync(path) : null,
      ]),
  );
}

it('lays files out as huggingface_hub does: blobs by hash, relative links, refs without a line break', async () => {
  const model = hub.serveModel();
  const { commit, files } = model;
  const result = await downloadModel('owner/tiny');
  expect(result).toEqual({
    path: join(hub.cache, FOLDER, 'snapshots', commit),
    commit,
    files: ['config.json', 'tokenizer.json', 'model.safetensors'],
  });
  const small = ['config.json', 'tokenizer.json'].map((name): [string, string] => [
    name,
    gitHash(files[name]!.content),
  ]);
  const blobs = [...small, ['model.safetensors', sha256(files['model.safetensors']!.content)] as const];
  expect(tree(hub.cache)).toEqual({
    'CACHEDIR.TAG': null,
    [`${FOLDER}/refs/main`]: null,
    ...Object.fromEntries(blobs.map(([, id]) => [`${FOLDER}/blobs/${id}`, null])),
    ...Object.fromEntries(
      blobs.map(([name, id]) => [`${FOLDER}/snapshots/${commit}/${name}`, `../../blobs/${id}`]),
    ),
  });
  expect(readFileSync(join(hub.cache, FOLDER, 'refs/main'), 'utf8')).toBe(commit);
  for (const name of result.files) {
    expect(readFileSync(join(result.path, name)).equals(files[name]!.content)).toBe(true);
  }
});

it('puts files of folders into folders, with links that climb out of them', async () => {
  const { commit, files } = hub.serveModel();
  await downloadModel('owner/tiny', { files: ['onnx/*'] });
  const pointer = join(hub.cache, FOLDER, 'snapshots', commit, 'onnx/model.safetensors');
  expect(readlinkSync(pointer)).toBe(`../../../blobs/${sha256(files['onnx/model.safetensors']!.content)}`);
});

it('downloads nothing twice, and finds what another program has put there', async () => {
  const { files } = hub.serveModel();
  const weights = files['model.safetensors']!.content;
  mkdirSync(join(hub.cache, FOLDER, 'blobs'), { recursive: true });
  hub.write(`hub/${FOLDER}/blobs/${sha256(weights)}`, weights);
  await downloadModel('owner/tiny');
  expect(hub.server.requestsFor('model.safetensors')).toEqual([]);
  const before = hub.server.seen.length;
  await downloadModel('owner/tiny');
  expect(hub.server.seen.slice(before).map(({ url }) => url)).toEqual([
    '/api/models/owner/tiny/revision/main?blobs=true',
  ]);
});

it('downloads a blob again whose size is wrong, or whose link leads nowhere', async () => {
  const { files } = hub.serveModel();
  const { path } = await downloadModel('owner/tiny');
  const { content } = files['config.json']!;
  const blob = join(hub.cache, FOLDER, 'blobs', gitHash(content));
  for (const spoil of [() => fs.truncateSync(blob, 3), () => rmSync(blob)]) {
    spoil();
    await downloadModel('owner/tiny');
    expect(readFileSync(join(path, 'config.json')).equals(content)).toBe(true);
  }
  expect(hub.server.requestsFor('config.json')).toHaveLength(3);
});

it('follows a branch to its new commit and keeps the old snapshot', async () => {
  const model = hub.serveModel();
  const first = await downloadModel('owner/tiny');
  model.commit = 'f'.repeat(40);
  model.files['config.json']!.content = Buffer.from('{"model_type": "qwen3"}');
  const second = await downloadModel('owner/tiny');
  expect(readFileSync(join(first.path, 'config.json'), 'utf8')).toContain('llama');
  expect(readFileSync(join(second.path, 'config.json'), 'utf8')).toContain('qwen3');
  expect(readFileSync(join(hub.cache, FOLDER, 'refs/main'), 'utf8')).toBe(model.commit);
  expect(hub.server.requestsFor('model.safetensors').filter(({ server }) => server === 'hub')).toHaveLength(
    1,
  );
});

it.each(['v1.0', 'refs/pr/7'])('takes the revision %s, apart or after the name', async (revision) => {
  const { commit } = hub.serveModel('owner/tiny', { revisions: [revision] });
  await downloadModel('owner/tiny', { revision });
  await downloadModel(`owner/tiny@${revision}`);
  expect(readFileSync(join(hub.cache, FOLDER, 'refs', revision), 'utf8')).toBe(commit);
  expect(existsSync(join(hub.cache, FOLDER, 'refs/main'))).toBe(false);
  await expect(downloadModel(`owner/tiny@${revision}`, { revision: 'main' })).rejects.toThrow(
    `revision is "main", but repo asks for "${revision}"`,
  );
});

it('takes the hash of a commit, for which there is no ref', async () => {
  const { commit } = hub.serveModel();
  await downloadModel(`owner/tiny@${commit}`);
  expect(existsSync(join(hub.cache, FOLDER, 'refs'))).toBe(false);
});

describe('the files', () => {
  it('are those of a model alone: configuration, tokenizer, template and safetensors', async () => {
    const wanted = [
      ...['added_tokens.json', 'additional_chat_templates/tools.jinja', 'chat_template.jinja', 'config.json'],
      ...['generation_config.json', 'merges.txt', 'model.safetensors', 'special_tokens_map.json'],
      ...['tokenizer.json', 'tokenizer.model', 'tokenizer_config.json', 'vocab.json'],
    ];
    const others = [
      'README.md',
      'original/params.json',
      'consolidated.safetensors',
      'tf_model.h5',
      'a/config.json',
    ];
    const all = [...wanted, ...others].sort();
    hub.server.serve('owner/full', Object.fromEntries(all.map((name) => [name, `content of ${name}`])));
    expect((await downloadModel('owner/full')).files.sort()).toEqual(wanted);
  });

  it('are the shards that the index names', async () => {
    const shards = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
    const map = { a: shards[0], b: shards[1], c: shards[0] };
    hub.server.serve('owner/big', {
      'config.json': '{}',
      'model.safetensors.index.json': JSON.stringify({ weight_map: map }),
      ...{ [shards[0]!]: 'first', [shards[1]!]: 'second', 'model-00003-of-00002.safetensors': 'stray' },
    });
    const { files } = await downloadModel('owner/big');
    expect(files).toEqual(['config.json', 'model.safetensors.index.json', ...shards]);
  });

  it('are those that match a pattern; a single GGUF file is the model', async () => {
    hub.server.serve('owner/small', { 'q4_k_m.gguf': 'four', 'q8_0.gguf': 'eight', 'config.json': '{}' });
    const one = await downloadModel('owner/small', { files: ['*q8*'] });
    expect(one).toMatchObject({
      files: ['q8_0.gguf'],
      path: expect.stringMatching(/snapshots.*q8_0\.gguf$/),
    });
    const all = await downloadModel('owner/small', { files: ['q?_*.gguf', 'config.json'] });
    expect(all.files.sort()).toEqual(['config.json', 'q4_k_m.gguf', 'q8_0.gguf']);
  });

  it.each([
    [
      { 'a.gguf': '', 'b.gguf': '' },
      {},
      'has no config.json, but GGUF files; choose one with --file: a.gguf, b.gguf',
    ],
    [
      { 'config.json': '', 'pytorch_model.bin': '' },
      {},
      'has no weights (model.safetensors); its files are config.json, pytorch_model.bin',
    ],
    [{}, {}, 'its files are none'],
    [{ 'a.gguf': '' }, { files: ['b.gguf'] }, 'has no file b.gguf; its files are a.gguf'],
    [{ 'a.gguf': '' }, { files: ['*Q4*'] }, 'has no file that matches *Q4*; its files are a.gguf'],
    [
      { 'config.json': '', 'model.safetensors.index.json': '{"weight_map": {"x": "../x"}}' },
      {},
      'has no ../x, which its model.safetensors.index.json names',
    ],
    [{ 'config.json': '', 'model.safetensors.index.json': '{}' }, {}, 'that names no files'],
  ])('%j with %j: %s', async (files, options, message) => {
    hub.server.serve('owner/odd', files);
    await expect(downloadModel('owner/odd', options)).rejects.toMatchObject({
      code: 'DOWNLOAD_FAILED',
      message: expect.stringContaining(`owner/odd ${message.startsWith('has') ? message : ''}`),
    });
    await expect(downloadModel('owner/odd', options)).rejects.toThrow(message);
  });
});

it('sends the token to the Hub alone, not to its storage', async () => {
  hub.serveModel('owner/tiny', { access: 'gated' });
  hub.setEnvironment({ HF_TOKEN: `${GOOD_TOKEN}\n` });
  await downloadModel('owner/tiny');
  for (const { server, authorization } of hub.server.seen) {
    expect(authorization).toBe(server === 'hub' ? `Bearer ${GOOD_TOKEN}` : undefined);
  }
  expect(hub.server.seen.filter(({ server }) => server === 'storage')).toHaveLength(1);
});

it('reports progress: bytes of all files, which only grow', async () => {
  hub.serveModel();
  const seen: DownloadProgress[] = [];
  await downloadModel('owner/tiny', { onProgress: (progress) => seen.push(progress) });
  const total = 100_000 + '{"model_type": "llama"}\n{}\n'.length;
  expect(new Set(seen.map(({ totalBytes }) => totalBytes))).toEqual(new Set([total]));
  expect(seen.at(-1)).toEqual({ file: 'model.safetensors', bytes: total, totalBytes: total });
  const bytes = seen.map((each) => each.bytes);
  expect(bytes).toEqual([...bytes].sort((a, b) => a - b));
});

describe('without symbolic links', () => {
  beforeEach(() => {
    jest.spyOn(fsPromises, 'symlink').mockImplementation(() => {
      throw Object.assign(new Error('not permitted'), { code: 'EPERM' });
    });
  });

  it('snapshots hold the files themselves', async () => {
    const { files } = hub.serveModel();
    const { path } = await downloadModel('owner/tiny');
    expect(lstatSync(join(path, 'model.safetensors')).isFile()).toBe(true);
    expect(readdirSync(join(hub.cache, FOLDER, 'blobs'))).toEqual([]);
    const before = hub.server.seen.length;
    await downloadModel('owner/tiny');
    expect(hub.server.seen.length - before).toBe(1);
    expect(readFileSync(join(path, 'config.json')).equals(files['config.json']!.content)).toBe(true);
  });

  it('two files of the same contents are there both', async () => {
    const same = '{"same": true}';
    hub.server.serve('owner/same', { 'config.json': same, 'model.safetensors': 'w', 'vocab.json': same });
    const { path } = await downloadModel('owner/same');
    for (const name of ['config.json', 'vocab.json']) {
      expect(readFileSync(join(path, name), 'utf8')).toBe(same);
    }
    expect(readdirSync(join(hub.cache, 'models--owner--same/blobs'))).toEqual([]);
  });

  it('a blob that other snapshots may use is copied', async () => {
    const { files } = hub.serveModel();
    const weights = files['model.safetensors']!.content;
    hub.write(`hub/${FOLDER}/blobs/${sha256(weights)}`, weights);
    const { path } = await downloadModel('owner/tiny');
    expect(readdirSync(join(hub.cache, FOLDER, 'blobs'))).toEqual([sha256(weights)]);
    expect(readFileSync(join(path, 'model.safetensors')).equals(weights)).toBe(true);
  });
});

it('finds a complete model in a cache that cannot be written', async () => {
  hub.serveModel();
  await downloadModel('owner/tiny');
  const folder = join(hub.cache, FOLDER);
  await asOrdinaryUser(hub.path, async () => {
    execFileSync('chmod', ['-R', 'a-w', folder]);
    await downloadModel('owner/tiny');
    await expect(downloadModel('owner/tiny', { files: ['README.md'] })).rejects.toMatchObject({
      code: 'FILE_ACCESS',
      message: expect.stringMatching(/^cannot write .*: permission denied$/),
    });
    execFileSync('chmod', ['-R', 'u+w', folder]);
  });
});

describe('with HF_HUB_OFFLINE', () => {
  it('a model in the cache is found without a connection', async () => {
    hub.serveModel();
    const online = await downloadModel('owner/tiny');
    hub.setEnvironment({ HF_HUB_OFFLINE: '1' });
    const before = hub.server.seen.length;
    const offline = await downloadModel('owner/tiny');
    expect({ ...offline, files: new Set(offline.files) }).toEqual({
      ...online,
      files: new Set(online.files),
    });
    expect((await downloadModel('owner/tiny', { files: ['tok*'] })).files).toEqual(['tokenizer.json']);
    await expect(downloadModel('owner/tiny', { files: ['*.gguf'] })).rejects.toThrow('not all of it');
    rmSync(join(online.path, readlinkSync(join(online.path, 'tokenizer.json'))));
    await expect(downloadModel('owner/tiny', { files: ['tok*'] })).rejects.toThrow('not all of it');
    expect(hub.server.seen).toHaveLength(before);
  });

  it.each(['HF_HUB_OFFLINE', 'TRANSFORMERS_OFFLINE'])('or refused, naming %s', async (name) => {
    hub.serveModel();
    hub.setEnvironment({ [name]: 'true' });
    await expect(downloadModel('owner/tiny')).rejects.toMatchObject({
      code: 'DOWNLOAD_FAILED',
      message: `owner/tiny is not in the cache, or not all of it, and ${name} forbids to download`,
    });
    expect(hub.server.seen).toEqual([]);
  });
});
