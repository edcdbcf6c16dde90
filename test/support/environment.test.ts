// The test environment: values of the outer realm, where the addon lives, pass `instanceof` in tests.
import { runInThisContext } from 'node:vm';

const outer = (code: string): unknown => runInThisContext(code);

test.each([
  ['new Error()', Error],
  ['new RangeError()', RangeError],
  ['new RangeError()', Error],
  ['Promise.resolve()', Promise],
  ['new Float32Array(2)', Float32Array],
  ['new BigInt64Array(2)', BigInt64Array],
  ['new ArrayBuffer(2)', ArrayBuffer],
])('outer %s', (code, type) => {
  expect(outer(code)).toBeInstanceOf(type);
});

test('outer and own typed arrays are strictly equal', () => {
  expect(outer('Float32Array.of(1, 2)')).toStrictEqual(Float32Array.of(1, 2));
});

test('objects that the engine makes inside the context pass as well', () => {
  const object = null as unknown as { x: number };
  expect(() => object.x).toThrow(TypeError);
  expect(() => object.x).toThrow(Error);
  const later = async (): Promise<void> => {
    await Promise.resolve();
  };
  expect(later()).toBeInstanceOf(Promise);
});

test('kinds of errors stay apart', () => {
  expect(outer('new RangeError()')).not.toBeInstanceOf(TypeError);
  expect(outer('new Error()')).not.toBeInstanceOf(RangeError);
});
