import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { saveModel } from '../../lib/model/checkpoint';
import { loadModel } from '../../lib/model/load';
import type { ModelOptions } from '../../lib/model/config';
import { MtpModel } from '../../lib/model/model';
import { replaceFiles } from '../../lib/replace-files';
import { readSafetensors, writeSafetensors, type NamedTensor } from '../../lib/model/safetensors';
import { openDevice, type Device } from '../../lib/tensor/device';
import { foretokenError } from '../support/errors';
import { TemporaryDirectory } from '../support/temporary';
import { tinyModel, tokenizer, weightsOf } from '../support/training';

const temporary = new TemporaryDirectory();
let device: Device;
beforeEach(() => (device = openDevice('cpu', { threads: 1 })));
afterEach(() => device.dispose());

const vocabSize = tokenizer.vocabSize;

function makeModel(seed: number, more: Partial<ModelOptions> = {}): MtpModel {
  return new MtpModel(device, { ...tinyModel('parallel', 1), vocabSize, ...more }, { seed });
}

const MODEL_FILES = ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'];

async function expectModel(directory: string, model: MtpModel): Promise<void> {
  const loaded = await loadModel(device, directory);
  using owned = loaded.model;
  expect(owned.config).toEqual(model.config);
  expect(loaded.tokenizer.files).toEqual(tokenizer.files);
  expect(await weightsOf(loaded)).toEqual(await weightsOf({ model }));
}

/** Splits the weights of a directory into two shards with an index, as large models have them. */
async function shard(directory: string): Promise<void> {
  const file = await readSafetensors(directory);
  const weightMap: Record<string, string> = {};
  const shards: NamedTensor[][] = [[], []];
  for (const [i, name] of file.names.entries()) {
    weightMap[name] = `model-0000${(i % 2) + 1}-of-00002.safetensors`;
    shards[i % 2]!.push({ name, ...file.info(name), data: await file.read(name) });
  }
  await file.close();
  for (const [i, tensors] of shards.entries()) {
    await writeSafetensors(`${directory}/model-0000${i + 1}-of-00002.safetensors`, tensors);
  }
  writeFileSync(`${directory}/model.safetensors.index.json`, JSON.stringify({ weight_map: weightMap }));
  rmSync(`${directory}/model.safetensors`);
}

let directory: string;
let first: MtpModel;
beforeEach(async () => {
  directory = temporary.at('model');
  first = makeModel(1);
  await saveModel(directory, first, tokenizer);
});
afterEach(() => first.dispose());

it('a new directory appears complete, with nothing beside it', () => {
  expect(readdirSync(directory).sort()).toEqual(MODEL_FILES);
  expect(readdirSync(temporary.path)).toEqual(['model']);
});

it('leaves everything else in the directory of an older model', async () => {
  const others = {
    'README.md': '# mine',
    '.git/HEAD': 'ref: refs/heads/main',
    'notes/deep/thought.txt': '42',
    'optimizer.pt': 'bytes',
  };
  for (const [name, content] of Object.entries(others)) temporary.write(`model/${name}`, content);
  using second = makeModel(2, { numHiddenLayers: 3 });
  await saveModel(directory, second, tokenizer);
  for (const [name, content] of Object.entries(others)) {
    expect([name, readFileSync(`${directory}/${name}`, 'utf8')]).toEqual([name, content]);
  }
  expect(readdirSync(directory).sort()).toEqual(
    ['.git', 'README.md', 'notes', 'optimizer.pt', ...MODEL_FILES].sort(),
  );
  await expectModel(directory, second);
});

it('replaces generation_config.json, which says how a model ends its texts', async () => {
  using first = makeModel(2);
  first.generationConfig = { eos_token_id: [1, 2], temperature: 0.6 };
  await saveModel(directory, first, tokenizer);
  const path = `${directory}/generation_config.json`;
  expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual(first.generationConfig);
  const { model } = await loadModel(device, directory);
  expect(model.generationConfig).toEqual(first.generationConfig);
  expect(model.config.eosTokenIds).toEqual([1, 2]);
  first.generationConfig = null;
  await saveModel(directory, first, tokenizer);
  expect(readdirSync(directory)).not.toContain('generation_config.json');
  model.dispose();
});

it('follows a link to a directory, also to one that does not exist yet', async () => {
  const inode = statSync(directory).ino;
  symlinkSync('model', temporary.at('link'));
  using second = makeModel(2);
  await saveModel(temporary.at('link'), second, tokenizer);
  expect(lstatSync(temporary.at('link')).isSymbolicLink()).toBe(true);
  expect(statSync(directory).ino).toBe(inode);
  await expectModel(directory, second);

  mkdirSync(temporary.at('disk'));
  symlinkSync('disk/new', temporary.at('early'));
  await saveModel(temporary.at('early'), second, tokenizer);
  expect(lstatSync(temporary.at('early')).isSymbolicLink()).toBe(true);
  await expectModel(temporary.at('disk/new'), second);

  symlinkSync('round', temporary.at('round'));
  await expect(saveModel(temporary.at('round'), second, tokenizer)).rejects.toEqual(
    foretokenError('FILE_ACCESS', temporary.at('round'), 'too many symbolic links'),
  );
});

it('replaces links among the files of the older model by files, and keeps the files that they led to', async () => {
  // As in the cache of Hugging Face's hub, where several revisions share their files.
  const blob = temporary.write('blobs/weights', readFileSync(`${directory}/model.safetensors`));
  const before = readFileSync(blob);
  rmSync(`${directory}/model.safetensors`);
  symlinkSync('../blobs/weights', `${directory}/model.safetensors`);
  using second = makeModel(2);
  await saveModel(directory, second, tokenizer);
  expect(readFileSync(blob).equals(before)).toBe(true);
  await expectModel(directory, second);
});

it('saves to the current directory', async () => {
  const before = process.cwd();
  using second = makeModel(2, { numHiddenLayers: 3 });
  try {
    process.chdir(directory);
    await saveModel('.', second, tokenizer);
    expect(existsSync('config.json')).toBe(true);
    mkdirSync(temporary.at('empty'));
    process.chdir(temporary.at('empty'));
    await saveModel('.', second, tokenizer);
    expect(existsSync('config.json')).toBe(true);
  } finally {
    process.chdir(before);
  }
  await expectModel(directory, second);
  await expectModel(temporary.at('empty'), second);
});

it('fills a directory that has only hidden files', async () => {
  temporary.write('clone/.git/HEAD', 'ref: refs/heads/main');
  await saveModel(temporary.at('clone'), first, tokenizer);
  expect(readdirSync(temporary.at('clone')).sort()).toEqual(['.git', ...MODEL_FILES]);
  await expectModel(temporary.at('clone'), first);
});

it('removes the index and the shards of the older model, and no other weights', async () => {
  await shard(directory);
  await expectModel(directory, first);
  temporary.write('model/adapter.safetensors', 'of another program');
  using second = makeModel(2);
  await saveModel(directory, second, tokenizer);
  expect(readdirSync(directory).sort()).toEqual(['adapter.safetensors', ...MODEL_FILES]);
  await expectModel(directory, second);
});

it('keeps the single file of weights even if an index names it', async () => {
  const weightMap = { 'lm_head.weight': 'model.safetensors' };
  temporary.write('model/model.safetensors.index.json', JSON.stringify({ weight_map: weightMap }));
  using second = makeModel(2);
  await saveModel(directory, second, tokenizer);
  await expectModel(directory, second);
});

it("removes the older tokenizer's files that the new one does not have", async () => {
  temporary.write('model/special_tokens_map.json', '{"eos_token": "a"}');
  await saveModel(directory, first, tokenizer);
  expect(readdirSync(directory).sort()).toEqual(MODEL_FILES);
  await expectModel(directory, first);
});

it.each([['config.json'], ['config.json', 'model.safetensors'], ['config.json', 'tokenizer.json']])(
  'a save can be repeated if it was killed before it wrote %s',
  async (...missing) => {
    for (const name of missing) rmSync(`${directory}/${name}`);
    await saveModel(directory, first, tokenizer);
    await expectModel(directory, first);
  },
);

it('refuses a directory with other files, and a checkpoint of a training run', async () => {
  temporary.write('home/thesis.tex', 'all my work');
  await expect(saveModel(temporary.at('home'), first, tokenizer)).rejects.toEqual(
    foretokenError('INVALID_ARGUMENT', temporary.at('home'), 'new or empty directory'),
  );
  temporary.write('model/trainer_state.json', '{}');
  await expect(saveModel(directory, first, tokenizer)).rejects.toEqual(
    foretokenError('INVALID_ARGUMENT', directory, 'checkpoint of a training run'),
  );
  await expect(saveModel(temporary.at('home/thesis.tex'), first, tokenizer)).rejects.toEqual(
    foretokenError('FILE_ACCESS', temporary.at('home/thesis.tex'), 'not a directory'),
  );
});

it('a failed save keeps the older model', async () => {
  using int8 = new MtpModel(
    device,
    { ...tinyModel('parallel', 1), vocabSize },
    { dtype: 'int8', masters: false },
  );
  await expect(saveModel(directory, int8, tokenizer)).rejects.toEqual(foretokenError('UNSUPPORTED', 'int8'));
  expect(readdirSync(directory).sort()).toEqual(MODEL_FILES);
  await expectModel(directory, first);
});

describe('replaceFiles', () => {
  const at = (name: string): string => temporary.at(`files/${name}`);
  const read = (): Record<string, string> =>
    Object.fromEntries(readdirSync(at('')).map((name) => [name, readFileSync(at(name), 'utf8')]));
  const replace = (files: Record<string, string>, look = (): void => undefined): Promise<void> =>
    replaceFiles(at(''), 'marker', ['stale'], async (path) => {
      for (const [name, content] of Object.entries(files)) writeFileSync(`${path}/${name}`, content);
      look();
    });
  beforeEach(() => {
    for (const name of ['marker', 'data', 'stale', 'other']) temporary.write(`files/${name}`, `old ${name}`);
  });

  it('keeps the old files until the new are complete', async () => {
    await replace({ marker: 'new marker', data: 'new data' }, () => {
      expect(read).toThrow('EISDIR');
      expect(readFileSync(at('data'), 'utf8')).toBe('old data');
    });
    expect(read()).toEqual({ marker: 'new marker', data: 'new data', other: 'old other' });
  });

  it('keeps the old files when writing fails', async () => {
    const fail = (): never => {
      throw new RangeError('no more');
    };
    await expect(replace({ marker: 'new marker', data: 'new data' }, fail)).rejects.toThrow(RangeError);
    expect(Object.keys(read()).sort()).toEqual(['data', 'marker', 'other', 'stale']);
    expect(read().data).toBe('old data');
  });

  it('replaces a single file in one step, and keeps unchanged files', async () => {
    rmSync(at('stale'));
    const marker = statSync(at('marker')).ino;
    await replace({ marker: 'old marker', data: 'new data' });
    expect(read()).toEqual({ marker: 'old marker', data: 'new data', other: 'old other' });
    expect(statSync(at('marker')).ino).toBe(marker);
  });

  it('never leaves a new file together with an old one, even if the system stops it in between', async () => {
    rmSync(at('data'));
    temporary.write('files/data/in the way', '');
    await expect(replace({ marker: 'new marker', data: 'new data' })).rejects.toEqual(
      foretokenError('FILE_ACCESS', 'cannot write', 'directory'),
    );
    expect(existsSync(at('marker'))).toBe(false);
  });
});
