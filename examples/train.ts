/**
 * Training from a script: a small model with four heads on the text files of a folder (this project's own sources unless
 * another is given), with checkpoints that a later run could resume from.
 *
 *   node --require ./scripts/typescript-hook.js examples/train.ts [FOLDER]
 */
import { byteTokenizerFiles, createTokenizer, openDevice, prepareCorpus, Trainer } from '../lib';

async function main(folder = 'lib'): Promise<void> {
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
    steps: 60,
    batchSize: 4,
    sequenceLength: 128,
    heldOut: 0.1,
    evalRows: 32,
    learningRate: { schedule: 'wsd', peak: 3e-3, warmupSteps: 10 },
    headWeights: { kind: 'beta', beta: 0.5 },
  });
  const { evaluation } = await trainer.run({
    onStep: ({ step, loss }) => {
      if (step % 10 === 0) console.log(`step ${step}: loss ${loss.toFixed(3)}`);
    },
  });
  console.log(`held-out text: ${evaluation!.bitsPerByte!.toFixed(3)} bits per byte`);
  await data.close();
}

void main(process.argv[2]);
