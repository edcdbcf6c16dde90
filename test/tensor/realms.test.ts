// Arrays and promises of another realm, as that of a test runner, have constructors of their own.
import { createContext, runInContext } from 'node:vm';
import { sampleLogits } from '../../lib/tensor/ops/sampling/sampling';
import { openDevice, type Device } from '../../lib/tensor/device';
import { scope } from '../../lib/tensor/scope';
import type { Tensor } from '../../lib/tensor/tensor';
import { foretokenError } from '../support/errors';

const realm = createContext({});
/** Runs code in another realm. */
const foreign = (code: string): never => runInContext(code, realm) as never;
let device: Device;

beforeAll(() => (device = openDevice('cpu', { threads: 1, poison: true })));
afterAll(() => device.dispose());

test('constructors differ', () => {
  expect(foreign('new Float32Array(1)')).not.toBeInstanceOf(Float32Array);
  expect(foreign('Promise.resolve()')).not.toBeInstanceOf(Promise);
});

test.each([
  ['Float32Array.of(1, 2)', 'float32'],
  ['Int32Array.of(1, 2)', 'int32'],
])('%s is uploaded as %s', async (code, dtype) => {
  using tensor = device.tensor(foreign(code));
  expect(tensor.dtype).toBe(dtype);
  expect(Array.from(await tensor.data())).toEqual([1, 2]);
  tensor.write(foreign(code.replace('1, 2', '3, 4')));
  expect(Array.from(await tensor.data())).toEqual([3, 4]);
});

test('a Uint16Array of another realm needs a dtype, as one of this realm does', async () => {
  const bits: Uint16Array = foreign('Uint16Array.of(0x3f80)');
  expect(() => device.tensor(bits)).toThrow(
    foretokenError('INVALID_ARGUMENT', 'a Uint16Array needs a dtype'),
  );
  using tensor = device.tensor(bits, [1], 'bfloat16');
  using value = tensor.cast('float32');
  expect(await value.item()).toBe(1);
});

test.each(['[1, 2]', 'new Float64Array(2)', "({ length: 2, [Symbol.toStringTag]: 'Float32Array' })"])(
  '%s is refused',
  (code) => {
    expect(() => device.tensor(foreign(code))).toThrow(
      foretokenError('INVALID_ARGUMENT', 'tensor: data must be a Float32Array'),
    );
  },
);

test('a history from another realm is read', async () => {
  using logits = device.tensor(Float32Array.of(1, 2, 3));
  using drawn = scope(() => {
    const row = device.empty([1, 3]).copyFrom(logits);
    const history = { tokens: foreign('Int32Array.of(2)'), promptLength: 0 };
    return sampleLogits(row, device.tensor(Int32Array.of(1)), { repetitionPenalty: 10 }, history);
  });
  expect(Array.from(await drawn.data())).toEqual([1]);
});

test('a promise from another realm cannot be the result of a scope', () => {
  expect(() => scope(() => foreign('Promise.resolve(1)'))).toThrow(
    foretokenError('INVALID_ARGUMENT', 'scope', 'promise'),
  );
});

test('tensors in an object of another realm survive their scope', () => {
  const result = scope(() => {
    const made: { tensor: Tensor } = foreign('({ tensor: null })');
    made.tensor = device.empty([1]);
    return made;
  });
  expect(result.tensor.disposed).toBe(false);
  result.tensor.dispose();
});
