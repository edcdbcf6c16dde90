import { mkdirSync, rmSync, symlinkSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { locateModel } from '../../lib/hub/locate';
import { TemporaryDirectory } from '../support/temporary';

const temporary = new TemporaryDirectory();
const COMMIT = 'c'.repeat(40);
const FOLDER = 'hub/models--owner--tiny';
const before = process.cwd();
let snapshot: string;

/** Writes a file into the cache as Python does. */
function put(name: string, content = ''): void {
  const blob = temporary.write(`${FOLDER}/blobs/${name.replaceAll('/', '-')}`, content);
  mkdirSync(snapshot, { recursive: true });
  symlinkSync(blob, join(snapshot, name));
}

beforeEach(() => {
  process.chdir(temporary.path);
  jest.replaceProperty(process, 'env', { ...process.env, HF_HUB_CACHE: temporary.at('hub') });
  snapshot = temporary.at(`${FOLDER}/snapshots/${COMMIT}`);
});
afterEach(() => {
  process.chdir(before);
  jest.restoreAllMocks();
});

describe('a model in the cache', () => {
  beforeEach(() => {
    temporary.write(`${FOLDER}/refs/main`, COMMIT);
    temporary.write(`${FOLDER}/refs/refs/pr/1`, COMMIT);
    for (const name of ['config.json', 'tokenizer.json', 'model.safetensors']) put(name);
  });

  it.each(['owner/tiny', 'owner/tiny@main', 'owner/tiny@refs/pr/1', `owner/tiny@${COMMIT}`])(
    'is found as %s',
    async (name) => {
      expect(await locateModel(name)).toBe(snapshot);
    },
  );

  it('gives way to a path of its name', async () => {
    temporary.write('owner/tiny/config.json', '');
    expect(await locateModel('owner/tiny')).toBe('owner/tiny');
    expect(await locateModel('owner/tiny@main')).toBe(snapshot);
  });

  it('is not found with another revision: the error names those in the cache', async () => {
    await expect(locateModel('owner/tiny@v2')).rejects.toMatchObject({
      code: 'FILE_ACCESS',
      message:
        'owner/tiny@v2: the cache has no revision v2, but owner/tiny@main, owner/tiny@refs/pr/1; to get it: foretoken download owner/tiny@v2',
    });
  });

  it.each([
    ['config.json', 'config.json', 'config.json'],
    ['model.safetensors', 'config.json', 'model.safetensors'],
    ['tokenizer.json', 'tokenizer.json', 'tokenizer.json'],
  ])('of which %s is missing, is refused where %s is needed', async (gone, file, named) => {
    unlinkSync(join(snapshot, gone));
    await expect(locateModel('owner/tiny', file)).rejects.toThrow(
      `owner/tiny: ${snapshot} lacks ${named}; to get the rest: foretoken download owner/tiny`,
    );
  });

  it('whose link leads nowhere, is refused', async () => {
    rmSync(temporary.at(`${FOLDER}/blobs/model.safetensors`));
    await expect(locateModel('owner/tiny')).rejects.toThrow('lacks model.safetensors');
  });

  it('in shards is complete with all of them', async () => {
    unlinkSync(join(snapshot, 'model.safetensors'));
    put('model.safetensors.index.json', '{"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}');
    put('1.safetensors');
    await expect(locateModel('owner/tiny')).rejects.toThrow('lacks 2.safetensors');
    put('2.safetensors');
    expect(await locateModel('owner/tiny')).toBe(snapshot);
  });

  it('may be one GGUF file; several have to be told apart', async () => {
    unlinkSync(join(snapshot, 'model.safetensors'));
    put('q4.gguf');
    expect(await locateModel('owner/tiny')).toBe(join(snapshot, 'q4.gguf'));
    expect(await locateModel('owner/tiny', 'tokenizer.json')).toBe(snapshot);
    put('q8.gguf');
    await expect(locateModel('owner/tiny')).rejects.toThrow(
      `there are several files; give the path of one: ${join(snapshot, 'q4.gguf')}, ${join(snapshot, 'q8.gguf')}`,
    );
  });
});

it('a model that is nowhere is refused with the command that gets it', async () => {
  await expect(locateModel('owner/none')).rejects.toMatchObject({
    code: 'FILE_ACCESS',
    message: `owner/none: there is no such path, and no such model in ${temporary.at('hub')}; to get it: foretoken download owner/none`,
  });
});

it.each(['model', './owner/none', '/owner/none', 'a/b/c', 'a//b', 'owner/none/', '~/x', 'C:\\x'])(
  '%s can only be a path',
  async (path) => {
    expect(await locateModel(path)).toBe(path);
  },
);
