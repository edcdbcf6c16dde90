// Models of every type can be trained, and learn about equally well.
import type { StepResult } from '../../lib/train/run';
import { TrainingSetup } from '../support/training-setup';
import { tinyModel, tokenizer, trainSteps } from '../support/training';

const STEPS = 60;
const { create } = new TrainingSetup({
  ...{ steps: STEPS, batchSize: 8, heldOut: 0, seed: 5 },
  learningRate: { schedule: 'constant', peak: 0.01 },
});

async function train(modelType: 'llama' | 'qwen2' | 'qwen3'): Promise<StepResult[]> {
  using trainer = await create({ model: { ...tinyModel('parallel', 2), modelType } });
  return await trainSteps(trainer, STEPS);
}

it.each(['qwen2', 'qwen3'] as const)('%s learns like a llama of its size', async (modelType) => {
  const [expected, results] = [await train('llama'), await train(modelType)];
  const last = (steps: StepResult[]): number => steps.at(-1)!.headLosses[0]!;
  expect(last(expected)).toBeLessThan(0.6 * Math.log(tokenizer.vocabSize));
  expect(last(results)).toBeLessThan(1.35 * last(expected));
  const largest = (steps: StepResult[]): number => Math.max(...steps.map(({ gradientNorm }) => gradientNorm));
  expect(largest(results)).toBeLessThan(2 * largest(expected));
});
