// A run interrupted after any steps ends with the same bits as an uninterrupted run.
import { createHash } from 'node:crypto';
import { openDevice } from '../../lib/tensor/device';
import type { TokenFile } from '../../lib/train/data';
import type { TrainerOptions } from '../../lib/train/options';
import type { StepResult } from '../../lib/train/run';
import { Trainer } from '../../lib/train/trainer';
import { Random } from '../support/random';
import { TemporaryDirectory } from '../support/temporary';
import { tinyCorpus, tinyModel, tokenizer, trainSteps, weightsOf } from '../support/training';

const STEPS = 20;
const temporary = new TemporaryDirectory();
let data: TokenFile;

beforeEach(async () => {
  data = await tinyCorpus(temporary.path, 24);
});
afterEach(() => data.close());

type Recipe = Pick<
  TrainerOptions,
  'model' | 'learningRate' | 'curriculum' | 'headWeights' | 'accumulation' | 'batchSize'
>;

// 20 steps use several epochs, so that interruptions fall anywhere in an epoch.
const recipes: [string, Recipe][] = [
  ['parallel heads', { model: tinyModel('parallel', 3), batchSize: 2 }],
  [
    'sequential heads, a curriculum, accumulation',
    {
      model: tinyModel('sequential', 4),
      ...{ batchSize: 1, accumulation: 3, curriculum: { kind: 'forward', steps: 15 } },
      learningRate: { schedule: 'wsd', peak: 0.01, warmupSteps: 5, decaySteps: 10 },
    },
  ],
  [
    'medusa heads, a ramp of weights, tied embeddings',
    {
      model: { ...tinyModel('medusa', 3), tieWordEmbeddings: true },
      ...{ batchSize: 3, headWeights: { kind: 'ramp', steps: 18, from: 0, to: 1 } },
    },
  ],
  [
    'rooted heads, a constant rate',
    {
      model: tinyModel('rooted', 3),
      ...{ batchSize: 2, learningRate: { schedule: 'constant', peak: 0.005 } },
    },
  ],
];

function digest(weights: ReadonlyMap<string, Float32Array>): string {
  const hash = createHash('sha256');
  for (const [name, values] of weights) {
    hash.update(name).update(Buffer.from(values.buffer, values.byteOffset, values.byteLength));
  }
  return hash.digest('hex');
}

interface Outcome {
  results: unknown[];
  /** SHA-256 over all of them. */
  weights: string;
  tokens: number;
}

/** Runs in parts, each on a new device; the run is interrupted after each step of `stops`. */
async function outcomeOf(recipe: Recipe, stops: readonly number[], name: string): Promise<Outcome> {
  const results: StepResult[] = [];
  let checkpoint: string | undefined;
  let weights = '';
  let tokens = 0;
  const pieces = [...stops, STEPS];
  for (const [i, end] of pieces.entries()) {
    using device = openDevice('cpu', { threads: 1 + (i % 4), poison: true });
    using trainer = await Trainer.create({
      ...{ ...recipe, device, tokenizer, data, steps: STEPS },
      ...{ sequenceLength: 16, heldOut: 0.1, seed: 5, resume: checkpoint },
    });
    results.push(...(await trainSteps(trainer, end - trainer.step)));
    checkpoint = await trainer.save(temporary.at(name));
    weights = digest(await weightsOf(trainer));
    tokens = trainer.tokens;
  }
  return { results: results.map(({ seconds: _, ...result }) => result), weights, tokens };
}

describe.each(recipes)('%s', (_, recipe) => {
  let straight: Outcome;
  beforeEach(async () => {
    straight = await outcomeOf(recipe, [], 'straight');
    // All steps differ, so that a step too many or too few shows.
    expect(new Set(straight.results.map((result) => JSON.stringify(result))).size).toBe(STEPS);
  });

  test('interrupted once, after any step', async () => {
    for (let step = 0; step < STEPS; step++) {
      const outcome = await outcomeOf(recipe, [step], `once-${step}`);
      expect({ step, ...outcome }).toEqual({ step, ...straight });
    }
  });

  test('interrupted after every step', async () => {
    const stops = Array.from({ length: STEPS - 1 }, (_, i) => i + 1);
    expect(await outcomeOf(recipe, stops, 'always')).toEqual(straight);
  });

  test('interrupted at random', async () => {
    const random = new Random(6);
    for (let i = 0; i < 5; i++) {
      const stops = Array.from({ length: STEPS }, (_, step) => step).filter(() => random.integer(5) === 0);
      expect({ stops, ...(await outcomeOf(recipe, stops, `random-${i}`)) }).toEqual({ stops, ...straight });
    }
  });
});
