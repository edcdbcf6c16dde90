import { memoize } from './memoize';

test('results are kept by what is in the arguments, wherever the arguments are', () => {
  const compute = jest.fn((values: Float32Array, { factor }: { factor: number }) =>
    values.map((value) => value * factor),
  );
  const scaled = memoize(compute);
  const first = scaled(Float32Array.of(1, 2), { factor: 3 });
  expect(first).toEqual(Float32Array.of(3, 6));
  expect(scaled(Float32Array.of(1, 2), { factor: 3 })).toBe(first);
  expect(scaled(Float32Array.of(1, 2.5), { factor: 3 })).toEqual(Float32Array.of(3, 7.5));
  expect(scaled(Float32Array.of(1, 2), { factor: 4 })).toEqual(Float32Array.of(4, 8));
  expect(compute).toHaveBeenCalledTimes(3);
});
