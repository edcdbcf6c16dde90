import { join } from 'node:path';
import type { ModelOptions } from '../../lib/model/config';
import type { TrainingBatch } from '../../lib/train/loss';
import { byteTokenizerFiles, createTokenizer } from '../../lib/model/tokenizer';
import { Random } from '../../lib/random';
import { TokenFile, writeTokenFile } from '../../lib/train/data';
import type { StepResult } from '../../lib/train/run';
import type { Trainer } from '../../lib/train/trainer';

export const tokenizer = createTokenizer(byteTokenizerFiles());

/** A model that trains in milliseconds. */
export function tinyModel(kind: string, numHeads: number): Omit<ModelOptions, 'vocabSize'> {
  return {
    hiddenSize: 16,
    intermediateSize: 24,
    numHiddenLayers: 2,
    numAttentionHeads: 2,
    numKeyValueHeads: 1,
    maxPositionEmbeddings: 64,
    mtp: { kind, numHeads },
  };
}

/** Writes documents of different lengths as a token file. */
export async function tinyCorpus(directory: string, documents = 12): Promise<TokenFile> {
  const path = join(directory, 'tiny.tokens');
  const texts = Array.from(
    { length: documents },
    (_, i) => `${'The quick brown fox. '.repeat(1 + (i % 3))}Nummer ${i}: größer.`,
  );
  const ids = texts.map((text) => Int32Array.from([...tokenizer.encode(text), tokenizer.eosId!]));
  await writeTokenFile(path, tokenizer.vocabSize, ids);
  return TokenFile.open(path);
}

/** Random rows, each of two documents. */
export function randomBatch(
  seed: number,
  { batch, length, heads, vocab }: { batch: number; length: number; heads: number; vocab: number },
): TrainingBatch {
  const random = new Random(seed);
  const tokens = Int32Array.from({ length: batch * length }, () => Math.floor(random.uniform() * vocab));
  const border = Math.floor(length / 2);
  const starts = tokens.map((_, i) => (i % length < border ? 0 : border));
  const targets = Array.from({ length: heads }, (_, head) =>
    tokens.map((_, i) => {
      const next = (i % length) + head + 1;
      const end = i % length < border ? border : length;
      return next < end ? tokens[i + head + 1]! : -100;
    }),
  );
  return { batch, length, tokens, starts, targets };
}

export async function trainSteps(trainer: Trainer, count: number): Promise<StepResult[]> {
  const results: StepResult[] = [];
  for (let i = 0; i < count; i++) results.push(await trainer.trainStep());
  return results;
}

/** All trainable numbers of a model, by name. */
export async function weightsOf({ model }: { model: Trainer['model'] }): Promise<Map<string, Float32Array>> {
  return valuesOf(model, (bucket) => bucket.value);
}

/** All gradients of a model, by name. */
export async function gradientsOf({
  model,
}: {
  model: Trainer['model'];
}): Promise<Map<string, Float32Array>> {
  return valuesOf(model, (bucket) => bucket.grad!);
}

type Bucket = Trainer['model']['parameters']['buckets'][number];

async function valuesOf(
  { parameters }: Trainer['model'],
  flat: (bucket: Bucket) => Bucket['value'],
): Promise<Map<string, Float32Array>> {
  const all = new Map<string, Float32Array>();
  for (const bucket of parameters.buckets) {
    const data = (await flat(bucket).data()) as Float32Array;
    for (const { name, shape, offset } of parameters.pieces(bucket)) {
      all.set(name, data.subarray(offset, offset + shape.reduce((product, dim) => product * dim, 1)));
    }
  }
  return all;
}

/** Largest difference, relative to the largest value of `expected`. */
export function relativeError(actual: Float32Array, expected: Float32Array): number {
  const largest = expected.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  const difference = actual.reduce((max, value, i) => Math.max(max, Math.abs(value - expected[i]!)), 0);
  return largest === 0 ? difference : difference / largest;
}
