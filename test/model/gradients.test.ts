// The gradient of every parameter of every kind of model and heads equals differences of the loss.
import { registerHeadKind } from '../../lib/heads';
import type { HeadInputs, HeadOutputs, Heads, HeadsContext } from '../../lib/heads/heads';
import type { ModelOptions, ModelType } from '../../lib/model/config';
import { backwardHeadByHead, lossAllHeads, uploadBatch } from '../../lib/train/loss';
import { MtpModel } from '../../lib/model/model';
import { Linear } from '../../lib/nn/linear';
import { RMSNorm } from '../../lib/nn/rms-norm';
import { noGrad } from '../../lib/tensor/autograd';
import { openDevice, type Device } from '../../lib/tensor/device';
import { add, concat } from '../../lib/tensor/ops/layers/elementwise';
import { scope } from '../../lib/tensor/scope';
import type { Tensor } from '../../lib/tensor/tensor';
import { openTarget, targets } from '../support/devices';
import { Random } from '../support/random';
import { gradientsOf, randomBatch, relativeError, tinyModel } from '../support/training';

const ADDED = ['hidden'] as const;

/** Adds a linear layer of head 1's output to that output. */
class AddedHeads implements Heads<typeof ADDED> {
  readonly reads = ADDED;
  readonly layers = 0;
  readonly #heads: { project: Linear; norm: RMSNorm }[] = [];

  constructor({ store, config, numHeads }: HeadsContext) {
    const { hiddenSize, rmsNormEps, initStd: std } = config;
    for (let k = 2; k <= numHeads; k++) {
      const prefix = `mtp.heads.${k}.`;
      this.#heads.push({
        project: new Linear(store, prefix, [{ name: 'proj', rows: hiddenSize }], hiddenSize, { std }),
        norm: new RMSNorm(store, `${prefix}norm`, hiddenSize, rmsNormEps),
      });
    }
  }

  forward(k: number, { hidden }: HeadInputs<typeof ADDED>): HeadOutputs {
    const { project, norm } = this.#heads[k - 2]!;
    return { hidden: norm.forward(add(hidden, project.forward(hidden))) };
  }
}
registerHeadKind({ kind: 'added', create: (context) => new AddedHeads(context) });

// Layer 1 of three is the one whose output is z.
const DEEP = ['previous', 'tokens', { features: [1, 0] }] as const;

/** Adds a linear layer of features and the token before to the state of the head before. */
class DeepHeads implements Heads<typeof DEEP> {
  readonly reads = DEEP;
  readonly layers = 0;
  readonly #heads: { project: Linear; norm: RMSNorm }[] = [];

  constructor(private readonly context: HeadsContext) {
    const { store, config, numHeads } = context;
    const { hiddenSize, rmsNormEps, initStd: std } = config;
    for (let k = 2; k <= numHeads; k++) {
      const prefix = `mtp.heads.${k}.`;
      this.#heads.push({
        project: new Linear(store, prefix, [{ name: 'proj', rows: hiddenSize }], 3 * hiddenSize, { std }),
        norm: new RMSNorm(store, `${prefix}norm`, hiddenSize, rmsNormEps),
      });
    }
  }

  forward(k: number, { previous, tokens, features }: HeadInputs<typeof DEEP>): HeadOutputs {
    const { project, norm } = this.#heads[k - 2]!;
    const read = concat(features, this.context.embed(tokens));
    const state = add(previous, project.forward(read));
    return { hidden: norm.forward(state), state };
  }
}
registerHeadKind({ kind: 'deep', create: (context) => new DeepHeads(context) });

const vocab = 23;
const headWeights = [1, 0.5, 0.7];
const models: (Partial<ModelOptions> & { modelType: ModelType })[] = [
  { modelType: 'llama' },
  { modelType: 'llama', attentionBias: true, tieWordEmbeddings: true },
  { modelType: 'qwen2' },
  { modelType: 'qwen3' },
];
/** The layers of other families, which heads have as well. Norms after small outputs are so curved that they need a large epsilon. */
const variants: typeof models = [
  { modelType: 'mistral', slidingWindow: 3 },
  { modelType: 'smollm3', noRopeLayers: [1, 0] },
  { modelType: 'phi3', partialRotaryFactor: 0.5 },
  {
    ...{ modelType: 'gemma3_text', slidingWindow: 3, layerTypes: ['sliding_attention', 'full_attention'] },
    ...{ ropeLocalBaseFreq: 100, ropeScaling: { ropeType: 'linear', factor: 2 }, queryPreAttnScalar: 3 },
    rmsNormEps: 0.1,
  },
  { modelType: 'olmo2', rmsNormEps: 0.1 },
  {
    ...{ modelType: 'granite', attentionMultiplier: 0.7, embeddingMultiplier: 1.5 },
    ...{ residualMultiplier: 0.6, logitsScaling: 0.8 },
  },
];
const cases = [
  ...models.flatMap((model) =>
    ['parallel', 'medusa', 'rooted', 'sequential', 'recursive', 'added', 'deep'].map((kind) => ({
      ...model,
      kind,
      numHiddenLayers: kind === 'deep' ? 3 : 2,
    })),
  ),
  ...variants.flatMap((model) =>
    ['parallel', 'recursive'].map((kind) => ({ ...model, kind, numHiddenLayers: 2 })),
  ),
];
type Case = (typeof cases)[number];

const numHeads = headWeights.length;
const batch = randomBatch(4, { batch: 2, length: 10, heads: numHeads, vocab });

/** Makes a model with random norms and biases, because their initial values could hide a wrong gradient. */
async function makeModel(device: Device, { kind, ...options }: Case): Promise<MtpModel> {
  const sizes = { ...tinyModel(kind, numHeads), hiddenSize: 8, intermediateSize: 12, vocabSize: vocab };
  const model = new MtpModel(device, { ...sizes, ...options, initializerRange: 0.3 }, { seed: 1 });
  const random = new Random(5);
  for (const { value } of model.parameters.buckets) {
    const noise = random.floats(value.size, 0.2);
    value.write(((await value.data()) as Float32Array).map((x, i) => x + noise[i]!));
  }
  model.parameters.changed();
  model.parameters.allocateGradients();
  return model;
}

async function gradients(model: MtpModel): Promise<Map<string, Float32Array>> {
  scope(() => {
    backwardHeadByHead(model, uploadBatch(model.device, batch, model.heads), { weights: headWeights });
  });
  return gradientsOf({ model });
}

/** Sums the weighted losses in float64, from float32 losses of rows. */
async function loss(model: MtpModel): Promise<number> {
  const rows = noGrad(() =>
    scope(() =>
      lossAllHeads(model, uploadBatch(model.device, batch, model.heads), {
        weights: headWeights,
        outputs: ['nll'],
      }).map((head) => head!.nll!),
    ),
  );
  let sum = 0;
  for (const [i, tensor] of rows.entries()) {
    for (const nll of await tensor.data()) sum += headWeights[i]! * nll;
    tensor.dispose();
  }
  return sum;
}

/** Measures the slope of the loss along `direction` at a piece of a bucket, by differences (Richardson's extrapolation). */
async function slopeAt(
  model: MtpModel,
  value: Tensor,
  offset: number,
  direction: Float32Array,
): Promise<number> {
  const original = (await value.data()) as Float32Array;
  const at = async (step: number): Promise<number> => {
    const moved = original.slice();
    direction.forEach((x, i) => (moved[offset + i]! += step * x));
    value.write(moved);
    model.parameters.changed();
    return loss(model);
  };
  const slope = async (step: number): Promise<number> => ((await at(step)) - (await at(-step))) / (2 * step);
  const measured = (4 * (await slope(2 ** -8)) - (await slope(2 ** -7))) / 3;
  value.write(original);
  model.parameters.changed();
  return measured;
}

const norm = (x: Float32Array): number => Math.hypot(...x);

describe.each(cases)('$modelType with $kind heads', (options) => {
  let expected: Map<string, Float32Array>;
  beforeAll(async () => {
    using device = openDevice('cpu', { threads: 1 });
    using model = await makeModel(device, options);
    expected = await gradients(model);
  });

  test('the gradient of every parameter is the slope of the loss', async () => {
    using device = openDevice('cpu', { threads: 1 });
    using model = await makeModel(device, options);
    const random = new Random(6);
    for (const bucket of model.parameters.buckets) {
      for (const { name, offset } of model.parameters.pieces(bucket)) {
        const gradient = expected.get(name)!;
        expect([name, norm(gradient) > 1e-3]).toEqual([name, true]);
        // Half along the gradient and half along a random direction, so that the slope shows errors in any direction.
        const unit = random.floats(gradient.length);
        const [along, across] = [1 / norm(gradient), 1 / norm(unit)];
        const direction = gradient.map((x, i) => x * along + unit[i]! * across);
        const slope = gradient.reduce((sum, x, i) => sum + x * direction[i]!, 0);
        const error = Math.abs((await slopeAt(model, bucket.value, offset, direction)) - slope);
        expect([name, error < 1e-2 * norm(gradient) + 3e-4 ? 'right' : error / norm(gradient)]).toEqual([
          name,
          'right',
        ]);
      }
    }
  });

  test.each(targets)('is the same on %s', async (target) => {
    const device = openTarget(target);
    try {
      using model = await makeModel(device, options);
      const actual = await gradients(model);
      expect([...actual.keys()]).toEqual([...expected.keys()]);
      for (const [name, gradient] of expected) {
        expect([name, relativeError(actual.get(name)!, gradient) < 2e-5]).toEqual([name, true]);
      }
    } finally {
      device.dispose();
    }
  });
});
