/**
 * Trains a small model with four heads on the text files of a folder, by default this project's sources. Ctrl-C ends the run with a
 * checkpoint. `resume: OUTPUT` would continue from the newest checkpoint; this script starts a new run instead.
 *
 *   node --require ./scripts/typescript-hook.js examples/train.ts [FOLDER]
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { byteTokenizerFiles, createTokenizer, openDevice, prepareCorpus, Trainer } from '../lib';

const OUTPUT = '.foretoken/example/run';

async function main(folder = join(__dirname, '../lib')): Promise<void> {
  await rm(OUTPUT, { recursive: true, force: true });
  using device = openDevice('auto');
  const tokenizer = createTokenizer(byteTokenizerFiles());
  const data = await prepareCorpus({
    patterns: [folder],
    tokenizer,
    cacheDirectory: '.foretoken/example/cache',
  });
  using trainer = await Trainer.create({
    device,
    tokenizer,
    data,
    model: {
      hiddenSize: 96,
      numHiddenLayers: 3,
      numAttentionHeads: 3,
      tieWordEmbeddings: true,
      initializerRange: 0.1,
      mtp: { kind: 'parallel', numHeads: 4 },
    },
    steps: 100,
    batchSize: 4,
    sequenceLength: 128,
    heldOut: 0.1,
    evalRows: 32,
    learningRate: { schedule: 'wsd', peak: 3e-3, warmupSteps: 10 },
    headWeights: { kind: 'beta', beta: 0.5 },
    output: OUTPUT,
    saveEvery: 50,
  });
  const stop = new AbortController();
  process.once('SIGINT', () => stop.abort());
  const { checkpoint, evaluation } = await trainer.run({
    signal: stop.signal,
    onStep: ({ step, loss }) => {
      if (step % 20 === 0) console.log(`step ${step}: loss ${loss.toFixed(3)}`);
    },
  });
  if (evaluation) console.log(`held-out text: ${evaluation.bitsPerByte!.toFixed(3)} bits per byte`);
  console.log(`the model is in ${checkpoint ?? 'memory only'}`);
  await data.close();
}

void main(process.argv[2]);
