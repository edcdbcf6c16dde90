import { readFileSync } from 'node:fs';
import { native } from '../../lib/native/load';
import { openDevice } from '../../lib/tensor/device';
import type { Trainer } from '../../lib/train/trainer';
import type { TrainerOptions } from '../../lib/train/options';
import { foretokenError } from '../support/errors';
import { TrainingSetup } from '../support/training-setup';
import { relativeError, tinyModel, tokenizer, trainSteps, weightsOf } from '../support/training';

const setup = new TrainingSetup({ model: tinyModel('parallel', 3), seed: 5 });
const { temporary, create } = setup;

/** The result of a step, without its time. */
async function losses(trainer: Trainer, count: number): Promise<unknown[]> {
  return (await trainSteps(trainer, count)).map(({ seconds: _, ...result }) => result);
}

it.each(['parallel', 'medusa', 'rooted', 'sequential', 'recursive'])(
  'memorises a tiny corpus: %s heads',
  async (kind) => {
    using trainer = await create({
      model: tinyModel(kind, 2),
      steps: 150,
      batchSize: 8,
      heldOut: 0,
      learningRate: { schedule: 'constant', peak: 0.02 },
    });
    const results = await trainSteps(trainer, 150);
    const first = results[0]!.headLosses.map((loss) => loss!);
    const last = results.at(-1)!.headLosses.map((loss) => loss!);
    // At first all bytes are equally likely.
    for (const loss of first) expect(Math.abs(loss - Math.log(tokenizer.vocabSize))).toBeLessThan(0.2);
    for (const loss of last) expect(loss).toBeLessThan(1);
  },
);

describe('the same options give the same losses to the bit', () => {
  it.each([1, 2, 3])('with %d threads', async (threads) => {
    using other = openDevice('cpu', { threads, poison: true });
    using trainer = await create();
    using again = await create({ device: other });
    expect(await losses(again, 4)).toEqual(await losses(trainer, 4));
    expect(await weightsOf(again)).toEqual(await weightsOf(trainer));
  });

  it('and other losses with another seed', async () => {
    using trainer = await create();
    using other = await create({ seed: 6 });
    expect(await losses(other, 1)).not.toEqual(await losses(trainer, 1));
  });
});

describe('accumulation', () => {
  it('equals one large batch', async () => {
    // A large eps avoids the division by the gradient's own size, which would amplify rounding differences.
    const plain = { optimizer: { eps: 1 }, learningRate: { schedule: 'constant', peak: 1 } } as const;
    using large = await create({ ...plain, batchSize: 4 });
    using small = await create({ ...plain, batchSize: 1, accumulation: 4 });
    const expected = await trainSteps(large, 3);
    const actual = await trainSteps(small, 3);
    actual.forEach((step, i) => {
      expect(Math.abs(step.loss / expected[i]!.loss - 1)).toBeLessThan(1e-6);
      expect(Math.abs(step.gradientNorm / expected[i]!.gradientNorm - 1)).toBeLessThan(1e-5);
      expect(step.tokens).toBe(expected[i]!.tokens);
    });
    const weights = await weightsOf(large);
    for (const [name, values] of await weightsOf(small)) {
      expect([name, relativeError(values, weights.get(name)!) < 1e-5]).toEqual([name, true]);
    }
  });
});

describe('heads', () => {
  it('are weighted', async () => {
    using trainer = await create({ headWeights: { kind: 'constant', weights: [1, 0, 0.25] } });
    const [step] = await trainSteps(trainer, 1);
    expect(step!.headLosses[1]).toBeNull();
    expect(step!.loss).toBeCloseTo(step!.headLosses[0]! + 0.25 * step!.headLosses[2]!, 10);
  });

  it('of larger weight change the model more', async () => {
    const norm = async (weight: number): Promise<number> => {
      using trainer = await create({ headWeights: { kind: 'constant', weights: [weight, 0, 0] } });
      return (await trainer.trainStep()).gradientNorm;
    };
    expect((await norm(3)) / (await norm(1))).toBeCloseTo(3, 4);
  });

  it('join one by one in a curriculum', async () => {
    using trainer = await create({ curriculum: { kind: 'forward', steps: 6 } });
    const learning = (await trainSteps(trainer, 6)).map(({ headLosses }) =>
      headLosses.map((loss) => (loss === null ? 0 : 1)).join(''),
    );
    expect(learning).toEqual(['100', '100', '110', '110', '111', '111']);
  });

  it('do not learn before their turn in a curriculum', async () => {
    const optimizer = { weightDecay: 0 };
    using trainer = await create({ curriculum: { kind: 'forward', steps: 6 }, optimizer });
    const before = await weightsOf(trainer);
    await trainSteps(trainer, 3);
    const changed = [...(await weightsOf(trainer))]
      .filter(([name, values]) => relativeError(values, before.get(name)!) > 0)
      .map(([name]) => name);
    expect(changed.some((name) => name.startsWith('mtp.heads.2.'))).toBe(true);
    expect(changed.some((name) => name.startsWith('mtp.heads.3.'))).toBe(false);
  });
});

it.each([{ labelSmoothing: 0.1 }, { zLoss: 0.1 }, { entropyWeight: 0.1 }])(
  'the loss includes its terms: %j',
  async (loss) => {
    using trainer = await create();
    using other = await create({ loss });
    expect((await other.trainStep()).loss).not.toBe((await trainer.trainStep()).loss);
  },
);

it('reports losses of heads in nats, without other terms of the loss', async () => {
  const accumulated = { batchSize: 2, accumulation: 2 };
  using plain = await create(accumulated);
  using other = await create({
    ...accumulated,
    loss: { labelSmoothing: 0.1, zLoss: 0.2, entropyWeight: 0.3 },
  });
  const [expected, actual] = [await plain.trainStep(), await other.trainStep()];
  expect(expected.loss).toBeCloseTo(
    expected.headLosses.reduce((sum: number, loss) => sum + loss!, 0),
    10,
  );
  actual.headLosses.forEach((loss, i) => expect(loss! / expected.headLosses[i]!).toBeCloseTo(1, 6));
  expect(Math.abs(actual.loss - expected.loss)).toBeGreaterThan(1);
});

it('clips the gradient to maxGradNorm', async () => {
  const learningRate = { schedule: 'constant', peak: 1 } as const;
  // With a large eps the update is nearly proportional to the gradient, so the change of the weights shows the clipping.
  const moved = async (maxGradNorm: number): Promise<number> => {
    using trainer = await create({ learningRate, optimizer: { maxGradNorm, eps: 1e3, weightDecay: 0 } });
    const before = (await weightsOf(trainer)).get('model.embed_tokens.weight')!;
    await trainer.trainStep();
    const after = (await weightsOf(trainer)).get('model.embed_tokens.weight')!;
    return Math.sqrt(after.reduce((sum, value, i) => sum + (value - before[i]!) ** 2, 0));
  };
  const [none, tight] = [await moved(0), await moved(1e-2)];
  using trainer = await create();
  const { gradientNorm } = await trainer.trainStep();
  expect(tight / none).toBeGreaterThan((1e-2 / gradientNorm) * 0.98);
  expect(tight / none).toBeLessThan((1e-2 / gradientNorm) * 1.02);
});

it('leaves no tensors behind', async () => {
  const before = native.liveTensors();
  {
    using trainer = await create({ model: tinyModel('sequential', 3) });
    await trainSteps(trainer, 1);
    const running = native.liveTensors();
    await trainer.evaluate();
    await trainer.save(temporary.at('run'));
    await trainSteps(trainer, 2);
    expect(native.liveTensors()).toBe(running);
  }
  expect(native.liveTensors()).toBe(before);
});

it('lets timers run during a step', async () => {
  // The step takes the device much longer than JavaScript needs to enqueue it, even on a busy machine.
  using trainer = await create({ model: { ...tinyModel('parallel', 4), hiddenSize: 384 }, batchSize: 8 });
  await trainer.trainStep();
  let ticks = 0;
  const timer = setInterval(() => (ticks += 1), 1);
  const { seconds } = await trainer.trainStep();
  clearInterval(timer);
  expect(seconds).toBeGreaterThan(0);
  expect(ticks).toBeGreaterThan(0);
});

describe('run', () => {
  it('logs, evaluates and saves', async () => {
    const output = temporary.at('run');
    using trainer = await create({ output, evalEvery: 4, saveEvery: 2, keepCheckpoints: 2 });
    const seen: string[] = [];
    const result = await trainer.run({
      onStep: ({ step }) => seen.push(`step ${step}`),
      onEvaluation: (_, step) => seen.push(`evaluation ${step}`),
      onCheckpoint: (path, step) => seen.push(`${path.slice(output.length + 1)} ${step}`),
    });
    expect(seen).toEqual([
      ...['step 1', 'step 2', 'checkpoint-2 2', 'step 3', 'step 4', 'checkpoint-4 4', 'evaluation 4'],
      ...['step 5', 'step 6', 'checkpoint-6 6', 'evaluation 6'],
    ]);
    expect(result).toMatchObject({ step: 6, completed: true, checkpoint: `${output}/checkpoint-6` });
    expect(result.evaluation).toEqual(await trainer.evaluate());
    const log = readFileSync(`${output}/foretoken-log.jsonl`, 'utf8').trim().split('\n');
    const steps = log.map((line) => (JSON.parse(line) as { step: number }).step);
    expect(steps).toEqual([1, 2, 3, 4, 4, 5, 6, 6]);
  });

  it('finishes the step and saves when aborted', async () => {
    const controller = new AbortController();
    const output = temporary.at('run');
    using trainer = await create({ output });
    const result = await trainer.run({
      signal: controller.signal,
      onStep: ({ step }) => step === 3 && controller.abort(),
    });
    expect(result).toEqual({
      step: 3,
      completed: false,
      checkpoint: `${output}/checkpoint-3`,
      evaluation: null,
    });
  });
});

describe('refuses', () => {
  it.each<[string, Partial<TrainerOptions>, string]>([
    ['no steps', { steps: 0 }, 'steps'],
    ['an empty batch', { batchSize: 0 }, 'batchSize'],
    ['rows longer than the model', { sequenceLength: 65 }, 'sequenceLength'],
    ['half an accumulation', { accumulation: 1.5 }, 'accumulation'],
    ['beta of 1', { optimizer: { beta1: 1 } }, 'beta1'],
    ['a negative z-loss', { loss: { zLoss: -1 } }, 'zLoss'],
    ['one weight for three heads', { headWeights: { kind: 'constant', weights: [1] } }, '3 heads'],
    ['weights that train nothing', { headWeights: { kind: 'constant', weights: [0, 0, 0] } }, 'all are 0'],
    [
      'a curriculum that begins with a head of weight 0',
      {
        headWeights: { kind: 'constant', weights: [0, 1, 1] },
        curriculum: { kind: 'forward', steps: 3 },
      },
      'head 1 has weight 0',
    ],
    ['a NaN seed', { seed: NaN }, 'seed'],
    ['no checkpoint to keep', { keepCheckpoints: 0 }, 'keepCheckpoints'],
    [
      'a vocabulary smaller than the corpus',
      { model: { ...tinyModel('parallel', 2), vocabSize: 9 } as never },
      'vocabSize',
    ],
  ])('%s', async (_, more, part) => {
    const before = native.liveTensors();
    await expect(create(more)).rejects.toEqual(foretokenError('INVALID_ARGUMENT', part));
    expect(native.liveTensors()).toBe(before);
  });

  it.each<[Partial<TrainerOptions>, 'INVALID_ARGUMENT' | 'OUT_OF_MEMORY', string[]]>([
    [{ batchSize: 1e9 }, 'INVALID_ARGUMENT', ['batchSize must be', '1048576', '1000000000']],
    [{ accumulation: 1e9 }, 'INVALID_ARGUMENT', ['accumulation must be', '1000000000']],
    [
      { batchSize: 2 ** 20, accumulation: 2 ** 20 },
      'OUT_OF_MEMORY',
      ['batchSize 1048576 and accumulation 1048576', 'rows of 16 tokens, with targets of 3 heads', 'GiB'],
    ],
  ])('%j, before memory is allocated', async (more, code, parts) => {
    const { peak } = setup.device.memory();
    await expect(create(more)).rejects.toEqual(foretokenError(code, ...parts));
    expect(setup.device.memory().peak).toBe(peak);
  });

  it('a corpus too short for held-out rows', async () => {
    await expect(create({ heldOut: 0.001 })).rejects.toEqual(foretokenError('INVALID_DATA', 'a row of 16'));
  });

  it('to continue after the loss is NaN', async () => {
    using trainer = await create({ learningRate: { schedule: 'constant', peak: 1e25 } });
    await expect(trainSteps(trainer, 4)).rejects.toEqual(foretokenError('DIVERGED', 'learning rate'));
  });
});
