import { dirname, join } from 'node:path';
import { escapePath } from 'tinyglobby';
import { interruptible } from '../lib/cli/signals';
import { listCheckpoints } from '../lib/model/checkpoint';
import { byteTokenizerFiles, createTokenizer } from '../lib/model/tokenizer';
import { prepareCorpus, splitHeldOut, type TokenFile } from '../lib/train/data';
import type { Evaluation } from '../lib/train/evaluate';
import { Progress } from '../lib/cli/progress';
import type { RunResult } from '../lib/train/run';
import { Trainer } from '../lib/train/trainer';
import { sizeFor, type Setup } from './harness';

/** The share of the text, at its end, that is held out from training. */
const HELD_OUT = 0.05;

/** Names of source files; a directory may also contain files that are not text. */
const SOURCES = '**/*.{c,cc,cpp,cu,cuh,go,h,hpp,java,js,mjs,py,rs,ts}';

const tokenizer = createTokenizer(byteTokenizerFiles());

/** The weight of a head's loss relative to the head before; if far heads weigh more, head 1 learns little. */
const BETA = 0.5;

/** A trained model, and its evaluation on held-out text. */
export interface Trained {
  /** Its directory. */
  checkpoint: string;
  parameters: number;
  evaluation: Evaluation;
}

/** The bytes of the source code to train on. */
export function openSources({ data, models }: Setup): Promise<TokenFile> {
  const declarations = escapePath(dirname(require.resolve('typescript/lib/typescript.d.ts')));
  const files =
    data === undefined
      ? // The declarations of web workers repeat those of the DOM.
        { patterns: [join(declarations, '*.d.ts')], exclude: ['lib.webworker*'] }
      : { patterns: [join(escapePath(data), SOURCES)] };
  return prepareCorpus({ ...files, tokenizer, cacheDirectory: join(models, 'corpus') });
}

/** Trains a byte-level model, or resumes its training; a finished model is only evaluated. */
export async function trainedModel(setup: Setup, data: TokenFile, heads: number): Promise<Trained> {
  const { device, dtype, models } = setup;
  const { model, peak, ...sizes } = sizeFor(setup, {
    // Small batches, because in two minutes many small steps reach a lower loss than few large ones.
    cpu: {
      model: { numHiddenLayers: 3, hiddenSize: 192, numAttentionHeads: 6, initializerRange: 0.072 },
      peak: 3e-3,
      ...{ steps: 3000, batchSize: 2, sequenceLength: 256, evalRows: 128 },
    },
    gpu: {
      model: { numHiddenLayers: 14, hiddenSize: 768, numAttentionHeads: 12, initializerRange: 0.02 },
      peak: 1e-3,
      ...{ steps: 600, batchSize: 32, sequenceLength: 512, evalRows: 128 },
    },
    emulated: {
      model: { numHiddenLayers: 1, hiddenSize: 64, numAttentionHeads: 1, initializerRange: 0.1 },
      peak: 3e-3,
      ...{ steps: 2, batchSize: 1, sequenceLength: 16, evalRows: 1 },
    },
  });
  const { numHiddenLayers, hiddenSize } = model;
  const name = [heads, 'heads', numHiddenLayers, 'x', hiddenSize, dtype, data.checksum.slice(0, 8)].join('-');
  const output = join(models, name);
  using trainer = await Trainer.create({
    ...sizes,
    ...{ device, dtype, tokenizer, data, output },
    resume: (await listCheckpoints(output)).length > 0 ? output : undefined,
    model: {
      ...model,
      maxPositionEmbeddings: 2048,
      tieWordEmbeddings: true,
      // A layer for each head, as in the paper, would add seven layers to the small model's three. Rooted heads are one product
      // each and are captured with the step.
      mtp: { kind: 'rooted', numHeads: heads },
    },
    learningRate: { schedule: 'cosine', peak, warmupSteps: Math.ceil(sizes.steps / 15), minimumRatio: 0.05 },
    headWeights: { kind: 'beta', beta: BETA },
    heldOut: HELD_OUT,
    saveEvery: Math.ceil(sizes.steps / 5),
    keepCheckpoints: 1,
    seed: 1,
  });
  const { completed, checkpoint, evaluation } = await run(trainer, sizes.steps, name);
  if (!completed) throw new Error(`training stopped at step ${trainer.step}; run the same command to resume`);
  return {
    checkpoint: checkpoint!,
    parameters: trainer.model.parameters.size,
    evaluation: evaluation ?? (await trainer.evaluate()),
  };
}

/** Runs the remaining steps; Ctrl-C ends the training with a checkpoint. */
async function run(trainer: Trainer, steps: number, name: string): Promise<RunResult> {
  const { step, model } = trainer;
  const progress = new Progress(steps, process.stderr, step);
  const what = `${name}, ${(model.parameters.size / 1e6).toFixed(1)} million parameters`;
  progress.note(step === steps ? `${what}: already trained` : `${what}: training from step ${step} on`);
  const start = performance.now();
  let result: RunResult | undefined;
  await interruptible(async (signal) => {
    result = await trainer.run({ signal, onStep: (done) => progress.update(done) });
  });
  progress.finish();
  if (step < steps)
    progress.note(`${what}: ${((performance.now() - start) / 1000).toFixed(0)} s of training`);
  return result!;
}

/** Takes `count` pieces of `length` bytes, spread over the held-out text, each within one document. */
export function heldOutPrompts(data: TokenFile, count: number, length: number): Int32Array[] {
  const { start, end } = splitHeldOut(data.length, HELD_OUT).heldOut;
  const starts: number[] = [];
  for (let at = start; at + length < end; at += length) {
    if (data.documentAt(at) === data.documentAt(at + length)) starts.push(at);
  }
  if (starts.length < count) {
    throw new Error(
      `the held-out text has ${starts.length} prompts of ${length} bytes, but ${count} are needed`,
    );
  }
  return Array.from({ length: count }, (_, i) => {
    const prompt = new Int32Array(length);
    data.read(starts[Math.floor((i * starts.length) / count)]!, length, prompt);
    return prompt;
  });
}
