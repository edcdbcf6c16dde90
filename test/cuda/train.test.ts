// Training on every kind of GPU has the losses of training on the CPU, up to rounding.
import { openDevice, type Device } from '../../lib/tensor/device';
import type { TokenFile } from '../../lib/train/data';
import { Trainer } from '../../lib/train/trainer';
import { bfloat16Targets, onDevice } from '../support/devices';
import { TemporaryDirectory } from '../support/temporary';
import { tinyCorpus, tinyModel, tokenizer, trainSteps } from '../support/training';

const temporary = new TemporaryDirectory();
let data: TokenFile;
beforeEach(async () => (data = await tinyCorpus(temporary.path)));
afterEach(() => data.close());

const STEPS = 5;

/** Returns the mean losses of the heads and the norm of the gradients after each step. */
async function curve(device: Device, kind: string, dtype?: 'float32' | 'bfloat16'): Promise<number[][]> {
  const trainer = await Trainer.create({
    ...{ device, tokenizer, data, dtype },
    model: tinyModel(kind, 3),
    ...{ steps: STEPS, batchSize: 2, sequenceLength: 16, heldOut: 0, seed: 5 },
    learningRate: { schedule: 'constant', peak: 0.01 },
  });
  try {
    const results = await trainSteps(trainer, STEPS);
    return results.map(({ headLosses, gradientNorm }) => [...headLosses.map((loss) => loss!), gradientNorm]);
  } finally {
    trainer.dispose();
  }
}

describe.each(bfloat16Targets)('a training run on %s', (target) => {
  it.each(['parallel', 'medusa', 'rooted', 'sequential', 'recursive'])(
    'has the losses and gradients of the CPU: %s heads',
    async (kind) => {
      using cpu = openDevice('cpu', { threads: 1, poison: true });
      const expected = await curve(cpu, kind);
      // AdamW's first steps are signs of gradients, so a sign that rounding changes is visible at once.
      const allowed = { float32: 2e-4, bfloat16: 4e-2 };
      for (const dtype of ['float32', 'bfloat16'] as const) {
        const actual = await onDevice(target, (device) => curve(device, kind, dtype));
        actual.forEach((values, step) =>
          values.forEach((value, i) => {
            const wanted = expected[step]![i]!;
            expect(Math.abs(value - wanted) / wanted).toBeLessThan(allowed[dtype]);
          }),
        );
        // The run learns, so the comparison covers more than initial losses.
        expect(actual.at(-1)![0]).toBeLessThan(0.95 * actual[0]![0]!);
      }
    },
    300_000,
  );
});
