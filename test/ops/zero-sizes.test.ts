// Every family of operations has a test of zero sizes; methods of tensors are tested here.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Tensor } from '../../lib/tensor/tensor';
import { empty, everyShape, testCases, type Case, type Cases } from '../support/zero-sizes';

function method(call: (x: Tensor) => Tensor): Case[] {
  return everyShape(({ floats }, shape) => ({ results: [empty(call(floats(...shape)), ...shape)] }));
}

const methods: Cases = {
  fill: method((x) => x.fill(1)),
  copyFrom: method((x) => x.device.empty(x.shape, x.dtype).copyFrom(x)),
  cast: method((x) => x.cast('bfloat16')),
  detach: method((x) => x.detach()),
  view: [
    [
      'of nothing, after the last element',
      ({ floats }) => ({ results: [empty(floats(2, 3).view(6, [0, 5]), 0, 5)] }),
    ],
  ],
  write: [
    [
      'nothing',
      ({ exact }) => {
        const x = exact(0, 3);
        x.write(new Float32Array(0));
        return { results: [empty(x, 0, 3)] };
      },
    ],
  ],
};

test('every family of operations has a test of its own', () => {
  const families = readdirSync(join(__dirname, '../../lib/tensor/ops'));
  expect(families.length).toBeGreaterThan(0);
  expect(families.filter((family) => !existsSync(join(__dirname, family, 'zero-sizes.test.ts')))).toEqual([]);
});

testCases(methods);
