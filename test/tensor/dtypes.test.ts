// The dtypes that operations accept: those that the device computes in, the same for all hidden states of a call.
import type { DType } from '../../lib/native/binding';
import { native } from '../../lib/native/load';
import { openDevice, type Device } from '../../lib/tensor/device';
import { linearCrossEntropyBackward } from '../../lib/tensor/ops/loss/linear-cross-entropy';
import { linear } from '../../lib/tensor/ops/linear/linear';
import type { Tensor } from '../../lib/tensor/tensor';
import { foretokenError } from '../support/errors';
import { decode, nearest } from '../support/half';
import { validCalls } from '../support/native-calls';
import { Random } from '../support/random';

let device: Device;
beforeEach(() => (device = openDevice('cpu', { threads: 2 })));
afterEach(() => device.dispose());

type Name = keyof ReturnType<typeof validCalls>;

/** Every argument for activations: operation, index and name of the argument. */
const activations: [Name, number, string][] = [
  ['add', 0, 'a'],
  ['add', 1, 'b'],
  ['accumulate', 0, 'out'],
  ['accumulate', 1, 'in'],
  ['scale', 0, 'x'],
  ['silu', 0, 'x'],
  ['siluBackward', 0, 'gradOut'],
  ['siluBackward', 1, 'x'],
  ['sigmoidGate', 0, 'x'],
  ['sigmoidGate', 1, 'gate'],
  ['glu', 0, 'gateUp'],
  ['gluBackward', 0, 'gradOut'],
  ['gluBackward', 1, 'gateUp'],
  ['concat', 0, 'a'],
  ['concat', 1, 'b'],
  ['sliceColumns', 0, 'x'],
  ['linear', 0, 'x'],
  ['linearBackwardInput', 0, 'gradY'],
  ['linearBackwardWeight', 0, 'gradY'],
  ['linearBackwardWeight', 1, 'x'],
  ['embeddingBackward', 1, 'gradOut'],
  ['rmsNorm', 0, 'x'],
  ['rmsNorm', 3, 'residual'],
  ['rmsNormBackward', 0, 'gradY'],
  ['rmsNormBackward', 1, 'x'],
  ['gatedRmsNorm', 0, 'x'],
  ['gatedRmsNorm', 1, 'gate'],
  ['rope', 0, 'x'],
  ['attention', 0, 'qkv'],
  ['attentionBackward', 0, 'gradOut'],
  ['attentionBackward', 1, 'qkv'],
  ['attentionBackward', 3, 'out'],
  ['kvAppend', 2, 'qkv'],
  ['treeAttention', 2, 'qkv'],
  ['shortConvolution', 2, 'x'],
  ['gatedDelta', 2, 'qkv'],
  ['gatedDelta', 3, 'a'],
  ['gatedDelta', 4, 'b'],
  ['commitRecurrent', 2, 'x'],
  ['commitRecurrent', 3, 'qkv'],
  ['commitRecurrent', 4, 'a'],
  ['commitRecurrent', 5, 'b'],
  ['linearSample', 0, 'hidden'],
  ['verifyTree', 0, 'hidden'],
];

/** Makes the valid call with one argument in another dtype. */
function callWith(name: Name, index: number, dtype: DType): () => unknown {
  const args = validCalls(device.handle)[name]();
  const shape = native.shapeOf(args[index] as number);
  args[index] = native.empty(device.handle, dtype, shape);
  return () => (native[name] as (...given: unknown[]) => unknown)(...args);
}

describe.each(activations)('%s, argument %i: %s', (name, index, argument) => {
  test('in bfloat16 is refused by a device that computes in float32 only', () => {
    expect(callWith(name, index, 'bfloat16')).toThrow(
      foretokenError(
        'UNSUPPORTED',
        `${name}: ${argument} is bfloat16, but this device (cpu) computes in float32 only`,
      ),
    );
  });

  test.each(['float16', 'int32'] as const)('in %s is refused by every device', (dtype) => {
    expect(callWith(name, index, dtype)).toThrow(
      foretokenError('DTYPE_MISMATCH', `${name}: ${argument} must be float32 or bfloat16, but is ${dtype}`),
    );
  });
});

test.each<[Name, number]>([
  ['linear', 3],
  ['embedding', 2],
])('%s makes only what is computed in', (name, index) => {
  const given = (dtype: unknown) => (): unknown => {
    const args = validCalls(device.handle)[name]();
    args[index] = dtype;
    return (native[name] as (...all: unknown[]) => number)(...args);
  };
  expect(native.dtypeOf(given(undefined)() as number)).toBe('float32');
  expect(given('bfloat16')).toThrow(
    foretokenError('UNSUPPORTED', `${name}: outDtype is bfloat16, but this device (cpu)`),
  );
  for (const dtype of ['float16', 'int32', 'x']) {
    expect(given(dtype)).toThrow(foretokenError('INVALID_ARGUMENT', `${name}: outDtype must be`, dtype));
  }
});

test('weights of linear layers may have any floating dtype', async () => {
  const x = device.tensor(Float32Array.of(1, 2), [1, 2]);
  for (const dtype of ['bfloat16', 'float16'] as const) {
    const weight = device.tensor(Float32Array.of(0.5, -3), [1, 2]).cast(dtype);
    expect(await linear(x, weight).data()).toEqual(Float32Array.of(-5.5));
  }
});

test.each(['bfloat16', 'float16'] as const)('fill writes %s', async (dtype) => {
  const filled = device.empty([1003], dtype).fill(1 / 3);
  const values = decode((await filled.data()) as Uint16Array, dtype);
  expect(values).toEqual(new Float32Array(1003).fill(nearest(1 / 3, dtype)));
  expect(await device.zeros([3], dtype).data()).toEqual(new Uint16Array(3));
});

test('fill refuses integers', () => {
  expect(() => device.empty([3], 'int32').fill(1)).toThrow(
    foretokenError('DTYPE_MISMATCH', 'fill: tensor must be float32, bfloat16 or float16, but is int32'),
  );
});

describe('linearCrossEntropy', () => {
  const [rows, dim, vocab] = [37, 19, 53];
  function gradHidden(dtype: DType, hiddenDtype: DType = 'bfloat16'): Tensor {
    const hidden = device.tensor(new Random(2).floats(rows * dim), [rows, dim]).cast(hiddenDtype);
    const weight = device.tensor(new Random(3).floats(vocab * dim), [vocab, dim]);
    const targets = device.tensor(Int32Array.from({ length: rows }, (_, i) => (i % 5 ? i : -100)));
    const gradient = device.empty([rows, dim], dtype);
    linearCrossEntropyBackward(hidden, weight, targets, device.zeros([rows]), { hidden: gradient });
    return gradient;
  }

  test('rounds the gradient of bfloat16 hidden states to bfloat16 on request', async () => {
    const [wide, narrow] = await Promise.all(
      (['float32', 'bfloat16'] as const).map((dtype) => gradHidden(dtype).data()),
    );
    expect(decode(narrow as Uint16Array, 'bfloat16')).toEqual(
      (wide as Float32Array).map((value) => nearest(value, 'bfloat16')),
    );
  });

  test.each<[DType, DType, string]>([
    ['float16', 'bfloat16', 'gradHidden must be float32 or bfloat16, but is float16'],
    ['float16', 'float16', 'gradHidden must be float32, but is float16'],
    ['bfloat16', 'float32', 'gradHidden must be float32, but is bfloat16'],
    ['int32', 'float32', 'gradHidden must be float32, but is int32'],
  ])('gives no gradient in %s for hidden states in %s', (dtype, hiddenDtype, message) => {
    expect(() => gradHidden(dtype, hiddenDtype)).toThrow(foretokenError('DTYPE_MISMATCH', message));
  });
});
