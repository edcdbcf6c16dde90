// Bad arguments give an error that names the argument, what was given and what is allowed.
import { native } from '../../../lib/native/load';
import { noGrad } from '../../../lib/tensor/autograd';
import { openDevice, type Device } from '../../../lib/tensor/device';
import {
  linearCrossEntropy,
  linearCrossEntropyBackward,
  type LinearCrossEntropyOptions,
} from '../../../lib/tensor/ops/loss/linear-cross-entropy';
import { Tensor } from '../../../lib/tensor/tensor';
import { onDeviceOnly } from '../../support/cpu';
import { onDevice, targets } from '../../support/devices';
import { foretokenError } from '../../support/errors';

const [rows, dim, vocab, heads] = [6, 4, 7, 2];

let device: Device;
let other: Device;
/** A valid tensor for every argument. */
let good: Record<
  | 'hidden'
  | 'weight'
  | 'targets'
  | 'bias'
  | 'coefficients'
  | 'headWeights'
  | 'lse'
  | 'gradHidden'
  | 'gradWeight'
  | 'gradBias',
  Tensor
>;

beforeAll(() => {
  device = openDevice('cpu', { threads: 2, poison: true });
  other = openDevice('cpu', { threads: 1, poison: true });
  good = {
    hidden: device.zeros([rows, dim]),
    weight: device.zeros([vocab, dim]),
    targets: device.tensor(Int32Array.of(0, 1, 2, 3, -100, 6)),
    bias: device.zeros([vocab]),
    coefficients: device.zeros([rows]),
    headWeights: device.zeros([heads]),
    lse: device.zeros([rows]),
    gradHidden: device.zeros([rows, dim]),
    gradWeight: device.zeros([vocab, dim]),
    gradBias: device.zeros([vocab]),
  };
});
afterAll(() => {
  device.dispose();
  other.dispose();
});

/** Calls backward with all arguments, some of them replaced. */
function backwardWith(replaced: Partial<typeof good>): void {
  const { hidden, weight, targets, lse, gradHidden, gradWeight, gradBias, ...options } = {
    ...good,
    ...replaced,
  };
  const gradients = { hidden: gradHidden, weight: gradWeight, bias: gradBias };
  linearCrossEntropyBackward(hidden, weight, targets, lse, gradients, { ...options, heads });
}

function lossWith(options: LinearCrossEntropyOptions): void {
  linearCrossEntropy(good.hidden, good.weight, good.targets, options);
}

/** The name of an argument in messages. */
const called = (name: keyof typeof good): string => (name === 'lse' ? 'savedLse' : name);
const names = ['hidden', 'weight', 'targets', 'bias', 'coefficients', 'headWeights', 'lse'] as const;
const gradientNames = ['gradHidden', 'gradWeight', 'gradBias'] as const;
const all = [...names, ...gradientNames];

test('valid arguments are accepted', () => {
  expect(() => backwardWith({})).not.toThrow();
});

test.each(all)('%s of another shape', (name) => {
  const { shape, dtype } = good[name];
  const wrong = [
    [...shape.slice(0, -1), shape.at(-1)! + 1],
    [...shape.slice(0, -1), shape.at(-1)! - 1],
    [shape[0]! + 1, ...shape.slice(1)],
    [...shape, 1],
    [1, ...shape],
    [shape.reduce((a, b) => a * b)],
    [],
  ].filter((candidate) => candidate.join() !== shape.join());
  for (const candidate of wrong) {
    using tensor = device.empty(candidate, dtype);
    const text = `[${candidate.join(', ')}]`;
    // If hidden and weight do not match, either may be wrong, so the message names both.
    const parts = name === 'hidden' || name === 'weight' ? [] : [text];
    expect(() => backwardWith({ [name]: tensor })).toThrow(
      foretokenError('SHAPE_MISMATCH', 'linearCrossEntropy: ', ...parts),
    );
    if (candidate.length === shape.length && name !== 'hidden' && name !== 'weight') {
      expect(() => backwardWith({ [name]: tensor })).toThrow(new RegExp(`${called(name)} is `));
    }
  }
});

test('hidden and weight that do not match', () => {
  expect(() => backwardWith({ hidden: device.empty([rows, 5]) })).toThrow(
    foretokenError('SHAPE_MISMATCH', 'hidden is [6, 5] but weight is [7, 4]; the last dimensions must match'),
  );
  expect(() => backwardWith({ hidden: device.empty([rows, 0]), weight: device.empty([vocab, 0]) })).toThrow(
    foretokenError('SHAPE_MISMATCH', 'weight is [7, 0]', 'at least one row and one column'),
  );
  expect(() => backwardWith({ weight: device.empty([0, dim]) })).toThrow(
    foretokenError('SHAPE_MISMATCH', 'weight is [0, 4]', 'at least one row and one column'),
  );
});

test.each(all)('%s of another dtype', (name) => {
  const halves = name === 'hidden' || name === 'weight';
  const wrong = name === 'targets' ? (['float32', 'bfloat16'] as const) : (['int32'] as const);
  for (const dtype of [...wrong, ...(halves || name === 'targets' ? [] : (['float16'] as const))]) {
    using tensor = device.empty(good[name].shape, dtype);
    expect(() => backwardWith({ [name]: tensor })).toThrow(
      foretokenError('DTYPE_MISMATCH', `linearCrossEntropy: ${called(name)} must be`, `is ${dtype}`),
    );
  }
});

test.each(all.filter((name) => name !== 'hidden'))('%s on another device', (name) => {
  using tensor = other.empty(good[name].shape, good[name].dtype);
  expect(() => backwardWith({ [name]: tensor })).toThrow(
    foretokenError('DEVICE_MISMATCH', `linearCrossEntropy: ${called(name)} is on a different device`),
  );
});

test.each(all)('%s that was disposed', (name) => {
  const tensor = device.empty(good[name].shape, good[name].dtype);
  tensor.dispose();
  expect(() => backwardWith({ [name]: tensor })).toThrow(
    foretokenError('INVALID_HANDLE', `linearCrossEntropy: ${called(name)} was disposed`),
  );
});

test.each(['hidden', 'weight'] as const)('%s as a packed weight', (name) => {
  using packed = new Tensor(device, native.packWeight(good.weight.handle));
  expect(() => backwardWith({ [name]: packed })).toThrow(foretokenError('UNSUPPORTED', 'packed'));
});

const junk = [{}, [], 'text', true, 1n, Symbol('x'), () => 0, new Float32Array(4), { handle: 1 }];

test.each<[keyof LinearCrossEntropyOptions, readonly unknown[]]>([
  ['heads', [0, -1, 1.5, NaN, Infinity, '2', {}, true, 1n]],
  ['reduction', ['none', 'Mean', '', 0, {}, true]],
  ['ignoreIndex', [0.5, NaN, 2 ** 31, -(2 ** 31) - 1, '0', {}]],
  ['labelSmoothing', [-0.1, 1.1, NaN, Infinity, '0', {}]],
  ['zLoss', [-1e-9, NaN, Infinity, 1e39, '0', {}]],
  ['entropyWeight', [NaN, Infinity, -Infinity, 1e39, '0', {}]],
  ['softcap', [-1, NaN, Infinity, '0', {}]],
  ['chunkRows', [-1, 0.5, NaN, Infinity, '1', {}]],
  ['outputs', [['nll', 'loss'], 'nll', {}, 1, null, [undefined]]],
  ['bias', junk],
  ['coefficients', junk],
  ['headWeights', junk],
])('option %s refuses %p', (name, values) => {
  for (const value of values) {
    expect(() => lossWith({ [name]: value })).toThrow(
      foretokenError('INVALID_ARGUMENT', `linearCrossEntropy: ${name}`, ' must be '),
    );
  }
});

test.each([4, 5, 7, 2 ** 31 - 1])('%i heads do not divide 6 rows', (count) => {
  expect(() => lossWith({ heads: count })).toThrow(
    foretokenError('SHAPE_MISMATCH', 'hidden has 6 rows', `multiple of heads, which is ${count}`),
  );
});

test.each(['hidden', 'weight', 'targets', 'lse'] as const)('%s that is not a tensor', (name) => {
  for (const value of junk) {
    expect(() => backwardWith({ [name]: value as unknown as Tensor })).toThrow(
      foretokenError('INVALID_ARGUMENT', `linearCrossEntropyBackward: ${name} `, 'must be a tensor'),
    );
  }
});

test('an unknown mode, and backward without the saved lse', () => {
  const { hidden, weight, targets } = good;
  const inputs = [hidden.handle, weight.handle, undefined, targets.handle, undefined, 1, undefined] as const;
  const options = ['mean', -100, 0, 0, 0, 0, 0] as const;
  const call = (mode: string, flag: unknown): unknown =>
    native.linearCrossEntropy(
      ...[mode as 'loss', ...inputs, ...options, flag as boolean],
      ...([false, false, false, false, undefined, undefined, undefined, undefined] as const),
    );
  expect(() => call('grad', false)).toThrow(foretokenError('INVALID_ARGUMENT', 'mode must be', 'is grad'));
  expect(() => call('backward', false)).toThrow(foretokenError('INVALID_ARGUMENT', 'savedLse is needed'));
  expect(() => call('loss', 1)).toThrow(foretokenError('INVALID_ARGUMENT', 'nll must be a boolean'));
});

describe('targets outside the vocabulary', () => {
  const bad = [7, -1, -99, 2 ** 31 - 1, -(2 ** 31)];

  test.each(bad)('%i from the host is refused at once', (target) => {
    const targets = device.tensor(Int32Array.of(0, 1, target, 3, -100, 6));
    for (const call of [
      linearCrossEntropy,
      (...args: [Tensor, Tensor, Tensor]) => noGrad(() => linearCrossEntropy(...args)),
    ]) {
      expect(() => call(good.hidden, good.weight, targets)).toThrow(
        foretokenError('INDEX_OUT_OF_RANGE', `linearCrossEntropy: targets[2] is ${target}`, '0 … 6'),
      );
    }
  });

  describe.each(targets)('known to the device alone, on %s', (name) => {
    test.each(bad)('%i is reported by the next readback', async (target) => {
      await onDevice(name, async (own) => {
        const weight = own.zeros([vocab, dim]).requireGrad();
        const known = onDeviceOnly(own, [0, 1, target, 3, -100, 6]);
        const { loss } = linearCrossEntropy(own.zeros([rows, dim]), weight, known, { chunkRows: 2 });
        await expect(loss.data()).rejects.toThrow(
          foretokenError('INDEX_OUT_OF_RANGE', `linearCrossEntropy: targets[2] is ${target}`, '0 … 6'),
        );
        // The device stays usable.
        const fine = onDeviceOnly(own, [0, 1, 2, 3, -100, 6]);
        const after = linearCrossEntropy(own.zeros([rows, dim]), weight, fine);
        expect(await after.loss.item()).toBeCloseTo(Math.log(vocab), 5);
      });
    });

    test('the first of several is reported, and accumulated gradients do not change', async () => {
      await onDevice(name, async (own) => {
        const known = onDeviceOnly(own, [0, 1, 2, 9, -100, 8]);
        const gradients = { weight: own.zeros([vocab, dim]).fill(5), bias: own.zeros([vocab]).fill(3) };
        const hidden = own.zeros([rows, dim]).fill(1);
        linearCrossEntropyBackward(hidden, own.zeros([vocab, dim]), known, own.zeros([rows]), gradients);
        await expect(own.synchronize()).rejects.toThrow(
          foretokenError('INDEX_OUT_OF_RANGE', 'linearCrossEntropy: targets[3] is 9', '0 … 6'),
        );
        if (name.startsWith('cuda')) {
          expect(await gradients.weight.data()).toEqual(new Float32Array(vocab * dim).fill(5));
          expect(await gradients.bias.data()).toEqual(new Float32Array(vocab).fill(3));
        }
      });
    });
  });

  test('with another ignoreIndex that value is valid and -100 is not', () => {
    const targets = device.tensor(Int32Array.of(0, 1, 9, 3, 4, 6));
    expect(() => linearCrossEntropy(good.hidden, good.weight, targets, { ignoreIndex: 9 })).not.toThrow();
    expect(() => lossWith({ ignoreIndex: 9 })).toThrow(
      foretokenError('INDEX_OUT_OF_RANGE', 'targets[4] is -100'),
    );
  });
});
