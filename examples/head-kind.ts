/**
 * Defines a new head kind: a class whose constructor makes the layers and whose `forward` computes them in training and drafting. This
 * kind adds a gated product of head 1's output to that output, feature by feature. The model learns this file by heart, then recites
 * it with drafts of the new heads.
 *
 *   node --require ./scripts/typescript-hook.js examples/head-kind.ts
 */
import { readFile } from 'node:fs/promises';
import {
  Linear,
  RMSNorm,
  Trainer,
  add,
  byteTokenizerFiles,
  createTokenizer,
  generate,
  glu,
  openDevice,
  prepareCorpus,
  registerHeadKind,
  type HeadInputs,
  type HeadOutputs,
  type Heads,
  type HeadsContext,
} from '../lib';

const STEPS = 250;

/** Heads read head 1's output, but neither each other's drafts nor the token before theirs. */
const READS = ['hidden'] as const;

class GatedHeads implements Heads<typeof READS> {
  readonly reads = READS;
  /** Heads read only their own row: no KV cache. */
  readonly layers = 0;
  readonly #heads: { gate: Linear; norm: RMSNorm }[] = [];

  constructor({ store, config, numHeads }: HeadsContext) {
    const { hiddenSize, rmsNormEps, initStd } = config;
    for (let k = 2; k <= numHeads; k++) {
      // Names in checkpoints: mtp.heads.2.gate.weight, mtp.heads.2.value.weight, mtp.heads.2.norm.weight, …
      const parts = [
        { name: 'gate', rows: hiddenSize },
        { name: 'value', rows: hiddenSize },
      ];
      this.#heads.push({
        gate: new Linear(store, `mtp.heads.${k}.`, parts, hiddenSize, { std: initStd }),
        norm: new RMSNorm(store, `mtp.heads.${k}.norm`, hiddenSize, rmsNormEps),
      });
    }
  }

  forward(k: number, { hidden }: HeadInputs<typeof READS>): HeadOutputs {
    const { gate, norm } = this.#heads[k - 2]!;
    return { hidden: norm.forward(add(hidden, glu(gate.forward(hidden), 'silu'))) };
  }
}

registerHeadKind({ kind: 'gated', create: (context) => new GatedHeads(context) });

async function main(): Promise<void> {
  using device = openDevice('cpu');
  const tokenizer = createTokenizer(byteTokenizerFiles());
  const data = await prepareCorpus({
    patterns: [__filename],
    tokenizer,
    cacheDirectory: '.foretoken/example/cache',
  });
  using trainer = await Trainer.create({
    device,
    tokenizer,
    data,
    model: {
      hiddenSize: 64,
      numHiddenLayers: 2,
      numAttentionHeads: 2,
      tieWordEmbeddings: true,
      initializerRange: 0.12,
      mtp: { kind: 'gated', numHeads: 3 },
    },
    steps: STEPS,
    batchSize: 4,
    sequenceLength: 256,
    heldOut: 0,
    learningRate: { schedule: 'cosine', peak: 5e-3, warmupSteps: 10 },
  });
  await trainer.run({
    onStep: ({ step, headLosses }) => {
      if (step !== 1 && step % 50 !== 0) return;
      const losses = headLosses.map((loss) => loss!.toFixed(3)).join(', ');
      console.log(`step ${step}: losses of heads 1, 2, 3 in nats: ${losses}`);
    },
  });
  await data.close();

  const prompt = (await readFile(__filename, 'utf8')).slice(0, 64);
  const generation = generate(trainer.model, tokenizer, prompt, { maxTokens: 128 });
  process.stdout.write(prompt);
  for await (const { text } of generation) process.stdout.write(text);
  console.log(`\n${generation.stats.tokensPerStep.toFixed(2)} tokens per step`);
}

void main();
