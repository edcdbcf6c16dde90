import { native } from '../../lib/native/load';
import { openDevice, type Device } from '../../lib/tensor/device';
import { add } from '../../lib/tensor/ops/layers/elementwise';
import { scope } from '../../lib/tensor/scope';
import { foretokenError } from '../support/errors';

let device: Device;
beforeEach(() => {
  device = openDevice('cpu', { threads: 2 });
});
afterEach(() => device.dispose());

test('a stale handle is refused, even if its slot is used again', () => {
  const stale = native.empty(device.handle, 'float32', [2]);
  native.dispose(stale);
  const fresh = native.empty(device.handle, 'float32', [2]);
  expect(fresh).not.toBe(stale);
  for (const use of ['shapeOf', 'dispose', 'silu', 'alias'] as const) {
    expect(() => native[use](stale)).toThrow(foretokenError('INVALID_HANDLE', 'disposed'));
  }
  expect(native.shapeOf(fresh)).toEqual([2]);
});

test('a tensor may be disposed of twice, but not used afterwards', () => {
  const tensor = device.zeros([2]);
  tensor.dispose();
  tensor.dispose();
  expect(tensor.disposed).toBe(true);
  expect(() => add(tensor, tensor)).toThrow(foretokenError('INVALID_HANDLE', 'add: a was disposed'));
});

test('memory lives as long as the last tensor on it', async () => {
  const whole = device.tensor(Float32Array.of(1, 2, 3, 4));
  const part = whole.view(2, [2]);
  const other = whole.detach();
  whole.dispose();
  other.dispose();
  const reuse = device.empty([4]).fill(9);
  expect(await part.data()).toEqual(Float32Array.of(3, 4));
  expect(await reuse.data()).toEqual(Float32Array.of(9, 9, 9, 9));
});

test('a view of another type reads and writes the same bits', async () => {
  const whole = device.empty([3], 'int32');
  const floats = whole.view(1, [2], 'float32');
  whole.write(Int32Array.of(7, 8, 9));
  floats.write(Float32Array.of(1, -0));
  expect(await whole.data()).toEqual(Int32Array.of(7, 0x3f800000, -0x80000000));
  expect(() => whole.view(0, [3], 'bfloat16')).toThrow(
    foretokenError(
      'INVALID_ARGUMENT',
      "view: dtype is bfloat16, but must have as many bytes as the tensor's int32",
    ),
  );
  expect(() => device.tensor(Int32Array.of(1)).view(0, [1], 'float32')).toThrow(
    foretokenError('INVALID_ARGUMENT', 'view: dtype is float32, but the tensor was uploaded as int32'),
  );
});

test('queued work can read a tensor that was disposed of', async () => {
  const results = Array.from({ length: 200 }, (_, i) =>
    scope(() => add(device.empty([1000]).fill(i), device.empty([1000]).fill(1))),
  );
  for (const [i, result] of results.entries()) {
    const data = await result.data();
    expect(data.every((value) => value === i + 1)).toBe(true);
  }
});

test('an operation refuses tensors of two devices', () => {
  using other = openDevice('cpu', { threads: 1 });
  expect(() => add(device.zeros([2]), other.zeros([2]))).toThrow(foretokenError('DEVICE_MISMATCH', 'add: b'));
  expect(() => device.zeros([2]).copyFrom(other.zeros([2]))).toThrow(foretokenError('DEVICE_MISMATCH', 'in'));
});

test.each([
  [[NaN], 'INVALID_ARGUMENT'],
  [[-1], 'INVALID_ARGUMENT'],
  [[0.5], 'INVALID_ARGUMENT'],
  [[2 ** 32, 2 ** 32], 'INVALID_ARGUMENT'],
  [[2 ** 53], 'INVALID_ARGUMENT'],
  [[1, 1, 1, 1, 1, 1, 1], 'INVALID_ARGUMENT'],
  [[2 ** 50], 'OUT_OF_MEMORY'],
  [[2 ** 26, 2 ** 26], 'OUT_OF_MEMORY'],
] as const)('shape %j is refused', (shape, code) => {
  expect(() => device.empty(shape)).toThrow(foretokenError(code, 'empty'));
});

test('shapes whose number of elements overflows are refused', () => {
  const wide = device.empty([2 ** 40, 0]);
  expect(() => native.linear(wide.handle, device.empty([2 ** 40, 0]).handle, undefined)).toThrow(
    foretokenError('OUT_OF_MEMORY', 'linear'),
  );
});

test('data of another type or length, or with a detached buffer, are refused', () => {
  const data = new Float32Array(new ArrayBuffer(16, { maxByteLength: 64 }));
  expect(() => device.tensor(data, [3])).toThrow(foretokenError('SHAPE_MISMATCH', '4 elements', '[3]', '3'));
  expect(() => device.tensor(data, [4], 'int32')).toThrow(foretokenError('DTYPE_MISMATCH', 'Int32Array'));
  data.buffer.resize(8);
  expect(() => device.tensor(data, [4])).toThrow(foretokenError('SHAPE_MISMATCH', '2 elements'));
  structuredClone(data.buffer, { transfer: [data.buffer] });
  expect(() => device.tensor(data, [4])).toThrow(foretokenError('SHAPE_MISMATCH', '0 elements'));
  expect(() => device.zeros([4]).write(data)).toThrow(foretokenError('SHAPE_MISMATCH', '0 elements'));
  expect(() => device.tensor(new Uint16Array(2))).toThrow(foretokenError('INVALID_ARGUMENT', 'dtype'));
});

test('tensor() copies its data', async () => {
  const data = Float32Array.of(1, 2);
  const tensor = device.tensor(data);
  data.fill(7);
  expect(await tensor.data()).toEqual(Float32Array.of(1, 2));
});

test('a hundred thousand tensors can be live', async () => {
  const before = native.liveTensors();
  const tensors = Array.from({ length: 100_000 }, (_, i) => device.tensor(Float32Array.of(i)));
  expect(native.liveTensors()).toBe(before + 100_000);
  for (const i of [0, 54_321, 99_999]) expect(await tensors[i]!.item()).toBe(i);
  for (const tensor of tensors) tensor.dispose();
  expect(native.liveTensors()).toBe(before);
  expect(device.memory().live).toBe(0);
});

test('item refuses tensors of several elements', async () => {
  expect(await device.empty([]).fill(3).item()).toBe(3);
  await expect(device.zeros([2]).item()).rejects.toThrow(foretokenError('SHAPE_MISMATCH', '[2]'));
});
