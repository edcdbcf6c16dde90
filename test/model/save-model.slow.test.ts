// Kills a process that saves a model, at random moments. The directory then holds the old model or the new one, never parts of both.
import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { saveModel } from '../../lib/model/checkpoint';
import { loadModel } from '../../lib/model/load';
import { MtpModel } from '../../lib/model/model';
import { openDevice } from '../../lib/tensor/device';
import { startScript } from '../support/process';
import { TemporaryDirectory } from '../support/temporary';
import { tinyModel, tokenizer, weightsOf } from '../support/training';

jest.setTimeout(600_000);
const temporary = new TemporaryDirectory();
const KILLS = 12;

it(`${KILLS} times`, async () => {
  using device = openDevice('cpu', { threads: 1 });
  const shapes = [1, 2].map((numHiddenLayers) => ({
    ...tinyModel('parallel', 1),
    vocabSize: tokenizer.vocabSize,
    numHiddenLayers,
  }));
  const directory = temporary.at('model');
  const lib = `${__dirname}/../../lib`;
  const script = temporary.write(
    'save.js',
    `const { saveModel } = require('${lib}/model/checkpoint.ts');
    const { MtpModel } = require('${lib}/model/model.ts');
    const { loadTokenizer } = require('${lib}/model/tokenizer');
    const { openDevice } = require('${lib}/tensor/device.ts');
    void (async () => {
      const device = openDevice('cpu', { threads: 1 });
      const tokenizer = await loadTokenizer('${temporary.at('tokenizer')}');
      const models = ${JSON.stringify(shapes)}.map((shape, i) => new MtpModel(device, shape, { seed: i }));
      for (let i = 0; ; i++) {
        await saveModel('${directory}', models[i % 2], tokenizer);
        if (i === 0) console.log('saved');
      }
    })();`,
  );
  const models = shapes.map((shape, i) => new MtpModel(device, shape, { seed: i }));
  await saveModel(temporary.at('tokenizer'), models[0]!, tokenizer);
  const seen = [0, 0, 0];
  for (let kill = 0; kill < KILLS; kill++) {
    const { child, ended } = startScript(script);
    const began = new Promise((resolve) => child.stdout!.once('data', () => resolve('began')));
    expect(await Promise.race([began, ended])).toBe('began');
    await sleep(Math.random() * 100);
    child.kill('SIGKILL');
    await ended;
    if (!readdirSync(directory).includes('config.json')) {
      seen[2]! += 1;
      continue;
    }
    const loaded = await loadModel(device, directory);
    const which = loaded.model.config.numHiddenLayers - 1;
    expect(await weightsOf(loaded)).toEqual(await weightsOf({ model: models[which]! }));
    loaded.model.dispose();
    seen[which]! += 1;
  }
  // The instant without a config.json is short compared to the writing.
  expect(seen[0]! + seen[1]!).toBeGreaterThan(KILLS / 2);
  for (const model of models) model.dispose();
});
