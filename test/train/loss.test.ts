// Training heads one after another must equal backpropagation through all of them at once.
import { backwardHeadByHead, lossAllHeads, uploadBatch, type HeadLossOptions } from '../../lib/train/loss';
import { MtpModel } from '../../lib/model/model';
import { native } from '../../lib/native/load';
import { backward } from '../../lib/tensor/autograd';
import { openDevice, type Device } from '../../lib/tensor/device';
import { scope } from '../../lib/tensor/scope';
import { gradientsOf, randomBatch, relativeError, tinyModel } from '../support/training';

let device: Device;
beforeEach(() => (device = openDevice('cpu', { threads: 2, poison: true })));
afterEach(() => device.dispose());

const vocab = 50;

function makeModel(kind: string, heads: number, more: object = {}, on = device): MtpModel {
  // Weights are large, so that the gradient of every path is large enough to compare.
  const options = { ...tinyModel(kind, heads), vocabSize: vocab, initializerRange: 0.3, ...more };
  const model = new MtpModel(on, options, { seed: 1 });
  model.parameters.allocateGradients();
  return model;
}

/** Gradients and losses of one batch. */
async function learn(
  model: MtpModel,
  options: HeadLossOptions,
  how: 'head by head' | 'at once',
): Promise<{ gradients: Map<string, Float32Array>; losses: (number | null)[] }> {
  const batch = randomBatch(2, { batch: 2, length: 16, heads: model.numHeads, vocab });
  model.parameters.zeroGradients();
  const losses = scope(() => {
    const onDevice = uploadBatch(device, batch, model.heads);
    const results =
      how === 'at once'
        ? lossAllHeads(model, onDevice, options)
        : backwardHeadByHead(model, onDevice, options);
    if (how === 'at once') backward(results.flatMap((result) => (result ? [[result.loss] as const] : [])));
    return results.map((result) => result?.headLoss ?? null);
  });
  const sums = await Promise.all(losses.map(async (loss) => (loss ? await loss.item() : null)));
  for (const loss of losses) loss?.dispose();
  return { gradients: await gradientsOf({ model }), losses: sums };
}

const kinds = ['parallel', 'medusa', 'rooted', 'sequential', 'recursive'];
const cases = kinds.flatMap((kind) => [1, 2, 3, 4].map((heads) => [kind, heads] as const));

describe('head by head and all at once give the same gradients', () => {
  async function compare(model: MtpModel, options: HeadLossOptions): Promise<void> {
    const expected = await learn(model, options, 'at once');
    const actual = await learn(model, options, 'head by head');
    expect(actual.losses).toEqual(expected.losses);
    for (const [name, gradient] of expected.gradients) {
      expect([name, relativeError(actual.gradients.get(name)!, gradient) < 2e-6]).toEqual([name, true]);
    }
  }

  it.each(cases)('%s heads, %d', async (kind, heads) => {
    using model = makeModel(kind, heads);
    await compare(model, { weights: Array.from({ length: heads }, (_, i) => 0.1 / (i + 1)) });
  });

  it.each(kinds)('%s heads with a tied unembedding and every loss term', async (kind) => {
    using model = makeModel(kind, 3, { tieWordEmbeddings: true });
    await compare(model, { weights: [0.1, 0.2, 0.3], labelSmoothing: 0.1, zLoss: 0.01, entropyWeight: 0.05 });
  });

  it.each(
    kinds.flatMap((kind) =>
      [
        [0, 1, 1, 1],
        [1, 0, 1, 0],
        [0, 0, 1, 0],
      ].map((weights) => [kind, weights] as const),
    ),
  )('%s heads with weights %j', async (kind, weights) => {
    using model = makeModel(kind, 4);
    await compare(model, { weights: [...weights] });
  });
});

it.each(kinds)('every parameter of %s heads gets a gradient', async (kind) => {
  using model = makeModel(kind, 3);
  const { gradients } = await learn(model, { weights: [1, 1, 1] }, 'head by head');
  for (const [name, gradient] of gradients) {
    expect([name, gradient.some((value) => value !== 0)]).toEqual([name, true]);
  }
});

it.each(kinds)('the gradient of %s heads equals the slope of the loss', async (kind) => {
  using model = makeModel(kind, 3);
  const weights = [0.02, 0.03, 0.05];
  const { gradients } = await learn(model, { weights }, 'head by head');
  // The slope along the gradient is its squared norm.
  const slope = [...gradients.values()]
    .flatMap((gradient) => [...gradient])
    .reduce((sum, g) => sum + g * g, 0);
  const loss = async (): Promise<number> => {
    const { losses } = await learn(model, { weights }, 'head by head');
    return losses.reduce((sum: number, value, i) => sum + weights[i]! * value!, 0);
  };
  const h = 0.003 / slope ** 0.5;
  const originals = await Promise.all(
    model.parameters.buckets.map(async ({ value }) => (await value.data()) as Float32Array),
  );
  const steps = model.parameters.buckets.map((bucket) =>
    model.parameters.pieces(bucket).flatMap(({ name }) => [...gradients.get(name)!]),
  );
  const at = async (sign: number): Promise<number> => {
    model.parameters.buckets.forEach(({ value }, b) =>
      value.write(originals[b]!.map((original, i) => original + sign * h * steps[b]![i]!)),
    );
    model.parameters.changed();
    return loss();
  };
  const measured = ((await at(1)) - (await at(-1))) / (2 * h);
  expect(measured / slope).toBeGreaterThan(0.99);
  expect(measured / slope).toBeLessThan(1.01);
});

describe('memory', () => {
  const [rows, hiddenSize] = [4 * 64, 32];
  /** Memory of one hidden state, and of one head's results: a few numbers in a block each. */
  const [stateBytes, resultBytes] = [rows * hiddenSize * 4, 2048];

  async function peak(kind: string, heads: number, learn = backwardHeadByHead): Promise<number> {
    // A new device: the allocator of a used one would lend larger blocks than requested.
    using own = openDevice('cpu', { threads: 2, poison: true });
    const model = makeModel(kind, heads, { vocabSize: 256, hiddenSize }, own);
    const batch = randomBatch(3, { batch: 4, length: 64, heads, vocab: 256 });
    const onDevice = uploadBatch(own, batch, model.heads);
    const options = { weights: batch.targets.map(() => 1), chunkRows: 32 };
    model.tables.reserve(64);
    const before = own.memory().live;
    scope(() => void learn(model, onDevice, options));
    await own.synchronize();
    return own.memory().peak - before;
  }

  it.each([
    // With two heads or more, a summed gradient exists beside the head's own, in blocks that may be larger than requested.
    ['parallel', 1, [2, 4, 8], 2 * stateBytes],
    ['parallel', 2, [4, 8], 0],
    ['medusa', 2, [4, 8], 0],
  ] as const)('of %s heads does not grow with their number from %d on', async (kind, least, more, once) => {
    const base = await peak(kind, least);
    for (const heads of more) {
      expect((await peak(kind, heads)) - base).toBeLessThanOrEqual(once + heads * resultBytes);
    }
  });

  it('of sequential heads grows only by the states between them', async () => {
    const grown = (await peak('sequential', 8)) - (await peak('sequential', 4));
    expect(grown).toBeLessThanOrEqual(4 * (stateBytes + resultBytes));
  });

  it.each(kinds)('of %s heads at once grows, so the measurement is able to fail', async (kind) => {
    const grown = (await peak(kind, 8, lossAllHeads)) - (await peak(kind, 4, lossAllHeads));
    expect(grown).toBeGreaterThan(4 * 2 * stateBytes);
  });

  it('is freed completely', async () => {
    const before = native.liveTensors();
    {
      using model = makeModel('sequential', 4);
      await learn(model, { weights: [1, 1, 1, 1] }, 'head by head');
      await learn(model, { weights: [1, 0, 0, 1] }, 'head by head');
    }
    expect(native.liveTensors()).toBe(before);
  });
});
