// The op in a recorded graph: upstream gradients, accumulation, frozen inputs, training.
import type { Device } from '../../../lib/tensor/device';
import { add, scale } from '../../../lib/tensor/ops/layers/elementwise';
import { linear } from '../../../lib/tensor/ops/linear/linear';
import {
  linearCrossEntropy,
  linearCrossEntropyBackward,
  type LinearCrossEntropyResult,
} from '../../../lib/tensor/ops/loss/linear-cross-entropy';
import { scope } from '../../../lib/tensor/scope';
import type { Tensor } from '../../../lib/tensor/tensor';
import { exact, expectAsGoodAsFloat32, float32, type Rounding } from '../../support/accuracy';
import { openTarget, targets } from '../../support/devices';
import { foretokenError } from '../../support/errors';
import {
  allOutputs,
  expectAccurate,
  expectSameRun,
  oracleOf,
  randomProblem,
  readBack,
  runLoss,
  upload,
  type LossInputs,
  type LossRun,
} from '../../support/loss';
import { lossOf, type LossProblem } from '../../support/loss-oracle';

const everything = { labelSmoothing: 0.1, zLoss: 0.02, entropyWeight: 0.3, softcap: 8 };

const forward = ({ hidden, weight, targets, options }: LossInputs): LinearCrossEntropyResult =>
  linearCrossEntropy(hidden, weight, targets, { ...options, outputs: allOutputs });

describe.each(targets)('%s', (target) => {
  let device: Device;
  beforeAll(() => {
    device = openTarget(target);
  });
  afterAll(() => device.dispose());

  /** The gradients after `use` has called backward on the loss. */
  async function gradientsOf(problem: LossProblem, use: (loss: Tensor) => void): Promise<LossRun> {
    const inputs = upload(device, problem);
    const { loss, ...others } = forward(inputs);
    use(loss);
    const { hidden, weight, options } = inputs;
    const gradients = { hidden: hidden.grad, weight: weight.grad, bias: options.bias?.grad };
    return readBack({ loss: loss.detach(), ...others }, gradients);
  }

  /** The problem with every row's weight times `factor`. */
  function scaled(problem: LossProblem, factor: number): LossProblem {
    return { ...problem, coefficients: problem.coefficients!.map((value) => value * factor) };
  }

  describe('upstream gradient', () => {
    const problem = randomProblem(1, { rows: 14, dim: 6, vocab: 29 }, everything);

    test.each([1, -0.5, 8, 0.3])('%f', async (upstream) => {
      const {
        total: _,
        headLoss: __,
        ...run
      } = await gradientsOf(problem, (loss) => loss.backward(device.tensor(Float32Array.of(upstream), [])));
      const { total, headLoss } = await runLoss(device, problem);
      const oracle = oracleOf(scaled(problem, upstream));
      expectAccurate({ ...run, total: oracle.total.values[0]!, headLoss }, scaled(problem, upstream));
      expect(total).toBeCloseTo(oracleOf(problem).total.values[0]!, 5);
    });

    test('0 gives zero gradients', async () => {
      const run = await gradientsOf(problem, (loss) => loss.backward(device.zeros([])));
      for (const gradient of [run.gradHidden, run.gradWeight, run.gradBias]) {
        expect(gradient.every((value) => value === 0)).toBe(true);
      }
    });

    test('from operations on the loss', async () => {
      const chained = await gradientsOf(problem, (loss) => add(scale(loss, 3), scale(loss, -1)).backward());
      const direct = await gradientsOf(problem, (loss) =>
        loss.backward(device.tensor(Float32Array.of(2), [])),
      );
      expectSameRun(chained, direct);
    });
  });

  describe('accumulation', () => {
    const problem = randomProblem(
      2,
      { rows: 24, dim: 6, vocab: 29 },
      { reduction: 'sum', labelSmoothing: 0.1 },
    );

    test('micro-batches equal one batch', async () => {
      const { weight, options } = upload(device, problem);
      for (const from of [0, 8, 16]) {
        const rows = upload(device, {
          ...problem,
          rows: 8,
          hidden: problem.hidden.slice(from * 6, (from + 8) * 6),
          targets: problem.targets.slice(from, from + 8),
          coefficients: problem.coefficients!.slice(from, from + 8),
        });
        forward({ ...rows, weight, options: { ...rows.options, bias: options.bias } }).loss.backward();
      }
      const whole = await runLoss(device, problem);
      const accumulated = {
        ...whole,
        gradWeight: (await weight.grad!.data()) as Float32Array,
        gradBias: (await options.bias!.grad!.data()) as Float32Array,
      };
      expectAccurate(accumulated, problem);
    });

    test('gradients of two losses on the same leaves add up, in one backward pass and in two', async () => {
      const separately = upload(device, problem);
      forward(separately).loss.backward();
      forward(separately).loss.backward();
      const together = upload(device, problem);
      add(forward(together).loss, forward(together).loss).backward();
      const twice = await runLoss(device, scaled(problem, 2));
      for (const { hidden, weight, options } of [separately, together]) {
        expect(await hidden.grad!.data()).toEqual(twice.gradHidden);
        expect(await weight.grad!.data()).toEqual(twice.gradWeight);
        expect(await options.bias!.grad!.data()).toEqual(twice.gradBias);
      }
    });

    test('a second backward pass through one graph is an error', () => {
      const { loss } = forward(upload(device, problem));
      loss.backward();
      expect(() => loss.backward()).toThrow(foretokenError('INVALID_ARGUMENT', 'linearCrossEntropy'));
    });
  });

  describe('modes agree', () => {
    const problem = randomProblem(3, { rows: 30, dim: 11, vocab: 45 }, { ...everything, heads: 3 });

    test('linearCrossEntropyBackward and the fused gradients', async () => {
      const fused = await runLoss(device, problem);
      const { hidden, weight, targets, options } = upload(device, problem);
      hidden.requiresGrad = weight.requiresGrad = options.bias!.requiresGrad = false;
      const result = linearCrossEntropy(hidden, weight, targets, { ...options, outputs: allOutputs });
      const gradients = {
        hidden: device.tensor(new Float32Array(hidden.size).fill(NaN), hidden.shape), // overwritten
        weight: device.zeros(weight.shape),
        bias: device.zeros([45]),
      };
      linearCrossEntropyBackward(hidden, weight, targets, result.lse!, gradients, {
        ...options,
        chunkRows: 7,
      });
      expectSameRun(await readBack(result, gradients), fused);
    });

    test('gradients of weight and bias are added to existing values', async () => {
      const fused = await runLoss(device, problem);
      const { hidden, weight, targets, options } = upload(device, problem);
      const gradients = { weight: device.zeros(weight.shape).fill(16), bias: device.zeros([45]).fill(-16) };
      linearCrossEntropyBackward(hidden, weight, targets, device.zeros([30]), gradients, options);
      const [gradWeight, gradBias] = [await gradients.weight.data(), await gradients.bias.data()];
      gradWeight.forEach((value, i) => expect(value - 16).toBeCloseTo(fused.gradWeight[i]!, 4));
      gradBias.forEach((value, j) => expect(value + 16).toBeCloseTo(fused.gradBias[j]!, 4));
    });

    test.each([
      ['hidden', { weight: false, bias: false }],
      ['weight', { hidden: false, bias: false }],
      ['bias', { hidden: false, weight: false }],
      ['hidden and weight', { bias: false }],
    ])('only the gradient of %s', async (_, frozen: Record<string, boolean>) => {
      const fused = await runLoss(device, problem);
      const inputs = upload(device, problem);
      const leaves = { hidden: inputs.hidden, weight: inputs.weight, bias: inputs.options.bias! };
      for (const [name, leaf] of Object.entries(leaves)) leaf.requiresGrad = frozen[name] ?? true;
      const { loss } = forward(inputs);
      loss.backward();
      expect(await loss.item()).toBe(fused.total);
      const expected = { hidden: fused.gradHidden, weight: fused.gradWeight, bias: fused.gradBias };
      for (const [name, leaf] of Object.entries(leaves)) {
        const gradient = (await leaf.grad?.data()) ?? null;
        expect(gradient).toEqual(leaf.requiresGrad ? expected[name as keyof typeof expected] : null);
      }
    });

    test('without gradients the loss is the same and nothing is recorded', async () => {
      const fused = await runLoss(device, problem);
      const inputs = upload(device, problem);
      for (const leaf of [inputs.hidden, inputs.weight, inputs.options.bias!]) leaf.requiresGrad = false;
      const { loss, nll } = forward(inputs);
      expect([loss.node, loss.requiresGrad]).toEqual([null, false]);
      expect(await loss.item()).toBe(fused.total);
      expect(await nll!.data()).toEqual(fused.nll);
    });
  });

  test('gradients equal finite differences of the loss', async () => {
    const extras = { ...everything, reduction: 'sum', coefficients: undefined } as const;
    const problem = randomProblem(4, { rows: 8, dim: 5, vocab: 12 }, extras);
    const run = await runLoss(device, problem);
    for (const [name, gradient] of [
      ['hidden', run.gradHidden],
      ['weight', run.gradWeight],
      ['bias', run.gradBias],
    ] as const) {
      // Along one direction, with a step large enough that differences of float32 losses are meaningful.
      const direction = randomProblem(5, problem)[name]!.map((value) => value / 64);
      const at = async (sign: number): Promise<number> => {
        const moved = problem[name]!.map((value, i) => value + sign * direction[i]!);
        return (await runLoss(device, { ...problem, [name]: moved })).total;
      };
      const slope = gradient.reduce((sum, value, i) => sum + value * direction[i]!, 0);
      const difference = ((await at(1)) - (await at(-1))) / 2;
      expect(Math.abs(difference / slope - 1)).toBeLessThan(0.01);
    }
  });

  describe('twenty steps of gradient descent', () => {
    const [rows, width, dim, vocab, rate] = [30, 5, 7, 11, 0.5];
    // hidden = x Aᵀ, then the loss
    const { hidden: x, weight: a } = randomProblem(6, { rows, dim: width, vocab: dim });
    const bias = new Float32Array(vocab);
    const problem = randomProblem(7, { rows, dim, vocab }, { labelSmoothing: 0.05, bias });

    function curve(round: Rounding): number[] {
      const moving = {
        a: Float64Array.from(a),
        weight: Float64Array.from(problem.weight),
        bias: Float64Array.from(bias),
      };
      const move = (values: Float64Array, i: number, gradient: number): void => {
        values[i] = round(values[i]! - round(rate * gradient));
      };
      return Array.from({ length: 20 }, () => {
        const hidden = new Float64Array(rows * dim);
        hidden.forEach((_, i) => {
          for (let l = 0; l < width; l++) {
            const term = round(x[Math.floor(i / dim) * width + l]! * moving.a[(i % dim) * width + l]!);
            hidden[i] = round(hidden[i]! + term);
          }
        });
        const values = lossOf({ ...problem, hidden, weight: moving.weight, bias: moving.bias }, round);
        const gradA = new Float64Array(dim * width);
        values.gradHidden.values.forEach((gradient, i) => {
          for (let l = 0; l < width; l++) {
            const at = (i % dim) * width + l;
            gradA[at] = round(gradA[at]! + round(gradient * x[Math.floor(i / dim) * width + l]!));
          }
        });
        gradA.forEach((gradient, i) => move(moving.a, i, gradient));
        values.gradWeight.values.forEach((gradient, i) => move(moving.weight, i, gradient));
        values.gradBias.values.forEach((gradient, i) => move(moving.bias, i, gradient));
        return values.total.values[0]!;
      });
    }

    test('follow the float64 curve', async () => {
      const { weight, targets, options } = upload(device, problem);
      const layer = device.tensor(a, [dim, width]).requireGrad();
      const features = device.tensor(x, [rows, width]);
      const losses: number[] = [];
      for (let step = 0; step < 20; step++) {
        const loss = scope(() => {
          const { loss } = linearCrossEntropy(linear(features, layer), weight, targets, options);
          loss.backward();
          return loss.detach();
        });
        losses.push(await loss.item());
        for (const parameter of [layer, weight, options.bias!]) {
          const [values, gradient] = [await parameter.data(), await parameter.grad!.data()];
          parameter.write(Float32Array.from(values, (value, i) => value - Math.fround(rate * gradient[i]!)));
          parameter.grad!.dispose();
          parameter.grad = null;
        }
      }
      expect(losses[19]!).toBeLessThan(losses[0]! - 0.5);
      expectAsGoodAsFloat32(losses, curve(exact), curve(float32));
    });
  });
});
