// The gradient of the unembedding is the largest tensor of a training step. It exists once, as the parameter's gradient.
import { backwardHeadByHead, uploadBatch } from '../../lib/train/loss';
import { MtpModel } from '../../lib/model/model';
import {
  linearCrossEntropy,
  linearCrossEntropyWithGrad,
} from '../../lib/tensor/ops/loss/linear-cross-entropy';
import { scope } from '../../lib/tensor/scope';
import type { Device } from '../../lib/tensor/device';
import type { Tensor } from '../../lib/tensor/tensor';
import { isEmulated, openTarget, targets } from '../support/devices';
import { randomProblem, upload } from '../support/loss';
import { randomBatch, relativeError, tinyModel } from '../support/training';

describe.each(targets)('%s', (target) => {
  const onGpu = target.startsWith('cuda');
  let device: Device;
  beforeEach(() => (device = openTarget(target)));
  afterEach(() => device.dispose());

  const vocab = isEmulated(target) ? 256 : 8192;
  const kinds = isEmulated(target) ? ['rooted'] : ['parallel', 'medusa', 'rooted', 'sequential', 'recursive'];
  const cases = kinds.flatMap((kind) =>
    (onGpu ? (['float32', 'bfloat16'] as const) : (['float32'] as const)).map(
      (dtype) => [kind, dtype] as const,
    ),
  );

  test.each(cases)(
    'a step of %s heads in %s has no second gradient of the unembedding',
    async (kind, dtype) => {
      const hiddenSize = isEmulated(target) ? 128 : 64;
      const options = { ...tinyModel(kind, 2), vocabSize: vocab, hiddenSize, numHiddenLayers: 1 };
      using model = new MtpModel(device, options, { seed: 1, dtype });
      model.parameters.allocateGradients();
      model.tables.reserve(4);
      const batch = randomBatch(3, { batch: 2, length: 4, heads: 2, vocab });
      const before = device.memory().live;
      device.resetPeak();
      scope(() => {
        const onDevice = uploadBatch(device, batch, model.heads);
        backwardHeadByHead(model, onDevice, { weights: [1, 1], chunkRows: 4 });
      });
      await device.synchronize();
      expect(device.memory().peak - before).toBeLessThan(vocab * hiddenSize * 4);
    },
  );

  test('linearCrossEntropyWithGrad adds in place the gradients that the op passes on in backward', async () => {
    const problem = randomProblem(1, { rows: 40, dim: 16, vocab: 200 });
    const { hidden, weight, targets: tokens, options } = upload(device, problem);
    const leaves = [hidden, weight, options.bias!];
    const gathered = async (): Promise<Float32Array[]> =>
      Promise.all(leaves.map(async (leaf) => (await leaf.grad!.data()) as Float32Array));
    const add = (fn: () => void): void => {
      for (const leaf of leaves) leaf.grad = device.empty(leaf.shape).fill(0.25);
      scope(fn);
    };
    const losses: Tensor[] = [];
    add(() => {
      const { loss } = linearCrossEntropy(hidden, weight, tokens, options);
      losses.push(loss.detach());
      loss.backward();
      return losses;
    });
    const expected = await gathered();
    add(() => {
      const { loss, hiddenGrad } = linearCrossEntropyWithGrad(hidden, weight, tokens, options);
      losses.push(loss.detach());
      expect(loss.requiresGrad).toBe(false);
      hidden.grad!.copyFrom(hiddenGrad);
      return losses;
    });
    const actual = await gathered();
    const [first, second] = await Promise.all(losses.map((loss) => loss.item()));
    expect(second).toBe(first);
    expect(actual[0]!.map((value) => value + 0.25)).toEqual(expected[0]);
    for (const i of [1, 2]) expect(relativeError(actual[i]!, expected[i]!)).toBeLessThan(1e-6);
  });
});
