/**
 * Trains a byte-level model with four heads on the TypeScript declaration files in node_modules, then continues held-out
 * text with and without speculation and reports the speedup. Downloads nothing, and takes about two minutes on two cores.
 *
 *   npm run quickstart
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { saveModel } from '../lib/model/checkpoint';
import { writeFileAtomic } from '../lib/files';
import { byteTokenizerFiles, createTokenizer } from '../lib/model/tokenizer';
import { openDevice } from '../lib/tensor/device';
import type { Evaluation } from '../lib/train/evaluate';
import { Progress } from '../lib/cli/progress';
import { Trainer } from '../lib/train/trainer';
import { compare, type Comparison } from './quickstart/compare';
import { prepareDeclarations } from './quickstart/corpus';
import { stream, table } from './quickstart/show';

const DIRECTORY = join('.foretoken', 'quickstart');
const STEPS = 2000;
// Prompt and continuation are no longer than the rows of the training.
const PROMPT_BYTES = 112;
const NEW_TOKENS = 128;
const PROMPTS = 12;
// One draft of each head, one after another: the smallest tree that uses all heads.
const SPECULATION = { tree: 'chain' } as const;
const SAMPLED = { temperature: 0.7, topP: 0.95, seed: 1 };

async function main(): Promise<void> {
  await mkdir(DIRECTORY, { recursive: true });
  using device = openDevice('auto');
  console.log(`Device: ${device.description}`);
  const tokenizer = createTokenizer(byteTokenizerFiles());
  const corpus = await prepareDeclarations(tokenizer, join(DIRECTORY, 'declarations.tokens'));

  using trainer = await Trainer.create({
    device,
    tokenizer,
    data: corpus.data,
    heldOut: corpus.heldOut,
    model: {
      hiddenSize: 192,
      numHiddenLayers: 3,
      numAttentionHeads: 6,
      maxPositionEmbeddings: 2048,
      tieWordEmbeddings: true,
      // About 1 / sqrt(hiddenSize); the usual 0.02, for models of billions of parameters, is far too small here.
      initializerRange: 0.072,
      mtp: { kind: 'rooted', numHeads: 4 },
    },
    steps: STEPS,
    // Small batches, because in two minutes many small steps teach more than a few large ones.
    batchSize: 2,
    sequenceLength: 256,
    learningRate: { schedule: 'cosine', peak: 3e-3, warmupSteps: 200, minimumRatio: 0.05 },
    headWeights: { kind: 'beta', beta: 0.4 },
    seed: 1,
  });
  const { model } = trainer;
  console.log(
    `Training ${(model.parameters.size / 1e6).toFixed(1)} million parameters, ${model.numHeads} heads, ` +
      `on ${(corpus.data.length / 1e6).toFixed(1)} MB of TypeScript declarations`,
  );
  const start = performance.now();
  const progress = new Progress(STEPS, process.stderr);
  const { evaluation } = await trainer.run({ onStep: (step) => progress.update(step) });
  progress.finish();
  const trainSeconds = (performance.now() - start) / 1000;
  await saveModel(join(DIRECTORY, 'model'), model, tokenizer);
  await corpus.data.close();

  const apart = Math.floor((corpus.heldOutText.length - PROMPT_BYTES) / PROMPTS);
  const prompts = Array.from({ length: PROMPTS }, (_, i) =>
    corpus.heldOutText.slice(i * apart, i * apart + PROMPT_BYTES),
  );
  for (const [name, options] of [
    ['greedy', {}],
    ['sampled', SAMPLED],
  ] as const) {
    console.log(
      `\nHeld-out text continued, ${name}; each ${process.stdout.isTTY ? 'colour' : 'bar'} is one step:\n`,
    );
    await stream(model, tokenizer, prompts[1]!, {
      ...options,
      maxTokens: NEW_TOKENS,
      ignoreEos: true,
      speculation: SPECULATION,
    });
  }

  const limits = { maxTokens: NEW_TOKENS, ignoreEos: true, speculation: SPECULATION };
  const greedy = await compare(model, tokenizer, prompts, limits);
  const sampled = await compare(model, tokenizer, prompts, { ...limits, ...SAMPLED });
  print(evaluation!, trainSeconds, greedy, sampled);
  const report = {
    identical: greedy.identical && sampled.identical,
    speedup: greedy.speedup,
    sampledSpeedup: sampled.speedup,
    tokensPerStep: greedy.tokensPerStep,
    bitsPerByte: evaluation!.bitsPerByte,
    headAccuracy: evaluation!.heads.map(({ top1 }) => top1),
    headAcceptance: evaluation!.heads.slice(1).map(({ acceptance }) => acceptance!.cumulative),
    trainSeconds,
    parameters: model.parameters.size,
    greedy,
    sampled,
    device: device.description,
  };
  const path = join(DIRECTORY, 'report.json');
  await writeFileAtomic(path, `${JSON.stringify(report, null, 2)}\n`);
  console.log(`\nWritten to ${path}; the model to ${join(DIRECTORY, 'model')}`);
  if (!report.identical) throw new Error('speculative output differs from plain output');
}

function print(evaluation: Evaluation, seconds: number, greedy: Comparison, sampled: Comparison): void {
  const percent = (share: number | null): string => (share === null ? '-' : `${(100 * share).toFixed(1)} %`);
  console.log(
    `\nTrained in ${seconds.toFixed(0)} s. Held-out text: ${evaluation.bitsPerByte!.toFixed(3)} bits per byte\n`,
  );
  console.log(
    table([
      ['head', 'top-1', 'top-5', 'accepted', 'if the one before was'],
      ...evaluation.heads.map(({ head, top1, top5, acceptance }) => [
        `${head} (token t+${head})`,
        percent(top1),
        percent(top5),
        acceptance ? percent(acceptance.cumulative) : '',
        acceptance ? percent(acceptance.conditional) : '',
      ]),
    ]),
  );
  const row = (name: string, pick: (comparison: Comparison) => string): string[] => [
    name,
    pick(greedy),
    pick(sampled),
  ];
  console.log(
    `\n${table([
      ['decoding', 'greedy', 'sampled'],
      row('plain, tokens/s', ({ plain }) => plain.toFixed(0)),
      row('speculative, tokens/s', ({ speculative }) => speculative.toFixed(0)),
      row('speedup', ({ speedup }) => `${speedup.toFixed(2)} ×`),
      row('  tokens per step give', ({ tokensPerStep }) => `${tokensPerStep.toFixed(2)} ×`),
      row('  a step costs, in plain steps', ({ stepCost }) => stepCost.toFixed(2)),
      row('  draft nodes per step', ({ drafted }) => drafted.toFixed(1)),
      row('same output', ({ identical }) => (identical ? 'yes, token for token' : 'NO')),
    ])}`,
  );
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
