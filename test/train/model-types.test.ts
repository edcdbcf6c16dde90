// Models of every type can be trained, and learn about equally well.
import { openDevice, type Device } from '../../lib/tensor/device';
import type { TokenFile } from '../../lib/train/data';
import type { StepResult } from '../../lib/train/run';
import { Trainer } from '../../lib/train/trainer';
import { TemporaryDirectory } from '../support/temporary';
import { tinyCorpus, tinyModel, tokenizer, trainSteps } from '../support/training';

const STEPS = 60;
const temporary = new TemporaryDirectory();
let device: Device;
let data: TokenFile;

beforeEach(async () => {
  device = openDevice('cpu', { threads: 2, poison: true });
  data = await tinyCorpus(temporary.path);
});
afterEach(async () => {
  await data.close();
  device.dispose();
});

async function train(modelType: 'llama' | 'qwen2' | 'qwen3'): Promise<StepResult[]> {
  using trainer = await Trainer.create({
    device,
    tokenizer,
    data,
    model: { ...tinyModel('parallel', 2), modelType },
    steps: STEPS,
    batchSize: 8,
    sequenceLength: 16,
    heldOut: 0,
    seed: 5,
    learningRate: { schedule: 'constant', peak: 0.01 },
  });
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
