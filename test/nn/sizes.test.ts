// Invalid sizes, and sizes that no memory holds, are refused at once.
import { KvCache } from '../../lib/nn/kv-cache';
import { Linear } from '../../lib/nn/linear';
import { ParameterStore } from '../../lib/nn/parameters';
import { RMSNorm } from '../../lib/nn/rms-norm';
import { RopeTable } from '../../lib/nn/rope-table';
import { openDevice, type Device } from '../../lib/tensor/device';
import { rows } from '../../lib/tensor/ops/layers/reshape';
import { ropeTable } from '../../lib/tensor/ops/layers/rope';
import { foretokenError } from '../support/errors';

let device: Device;
beforeEach(() => (device = openDevice('cpu', { threads: 1, memoryLimit: 1e9, poison: true })));
afterEach(() => {
  expect(device.memory().live).toBe(0);
  device.dispose();
});

const noSizes = [NaN, Infinity, -1, 0.5, 2 ** 60, undefined as never];

test.each(noSizes)('%p positions are refused', (size) => {
  expect(() => ropeTable(device, size, { frequencies: [1] })).toThrow(
    foretokenError('INVALID_ARGUMENT', 'maxPositions'),
  );
  const table = new RopeTable(device, { frequencies: [1, 0.01], scale: 1 }, 2 ** 31 - 1);
  expect(() => table.reserve(size)).toThrow(foretokenError('INVALID_ARGUMENT', 'RopeTable: count'));
});

test('a table of positions that no memory holds is refused', () => {
  const frequencies = new Float64Array(32);
  expect(() => ropeTable(device, 2 ** 40, { frequencies })).toThrow(foretokenError('OUT_OF_MEMORY', 'empty'));
});

test('angles of no pairs, or that are not numbers, are refused', () => {
  for (const bad of [[], [1, NaN], [Infinity], ['1'], new Float32Array(2), 1, undefined]) {
    expect(() => ropeTable(device, 4, { frequencies: bad as never })).toThrow(
      foretokenError('INVALID_ARGUMENT', 'ropeTable: frequencies', 'finite numbers'),
    );
  }
  expect(() => ropeTable(device, 4, { frequencies: [1], scale: NaN })).toThrow(
    foretokenError('INVALID_ARGUMENT', 'ropeTable: scale'),
  );
});

test.each(noSizes)('a cache, or parameters, of size %p are refused', (size) => {
  const sizes = { layers: 1, kvHeads: 1, headDim: 2, capacity: 4, sequences: 1 };
  for (const name of Object.keys(sizes)) {
    if (size === undefined && name === 'sequences') continue; // it has a default
    expect(() => new KvCache(device, { ...sizes, [name]: size })).toThrow(
      foretokenError('INVALID_ARGUMENT', `KvCache: ${name}`),
    );
  }
  const store = new ParameterStore(device);
  const part = { name: 'q_proj', rows: size };
  expect(() => new Linear(store, 'here.', [part], 4, { std: 1 })).toThrow(
    foretokenError('INVALID_ARGUMENT', 'Linear: parts[0].rows'),
  );
  expect(() => new RMSNorm(store, 'norm', size, 1e-5)).toThrow(
    foretokenError('INVALID_ARGUMENT', 'RMSNorm: dim'),
  );
});

test('invalid positions of a cache are refused', () => {
  using cache = new KvCache(device, { layers: 1, kvHeads: 1, headDim: 2, capacity: 4 });
  for (const accepted of [[], [NaN], [-1], [0.5]]) {
    expect(() => cache.advance(accepted)).toThrow(foretokenError('INVALID_ARGUMENT', 'accepted[0]'));
  }
  expect(() => cache.reserve(1, 4)).toThrow(foretokenError('INVALID_ARGUMENT', 'KvCache: sequence'));
  expect(() => cache.reserve(0, 5)).toThrow(foretokenError('INVALID_ARGUMENT', 'KvCache: positions', '4'));
  expect(() => cache.release(-1)).toThrow(foretokenError('INVALID_ARGUMENT', 'KvCache: sequence'));
  expect(() => cache.truncate(1, 0)).toThrow(foretokenError('INVALID_ARGUMENT', 'sequence'));
  expect(() => cache.truncate(0, -1)).toThrow(foretokenError('INVALID_ARGUMENT', 'length'));
  expect(Array.from(cache.lengths)).toEqual([0]);
});

test('rows that do not exist are refused', () => {
  using x = device.zeros([4, 0]);
  expect(() => rows(x, 5, 0)).toThrow(foretokenError('INVALID_ARGUMENT', 'rows: start', 'from 0 to 4'));
  expect(() => rows(x, 3, 2)).toThrow(foretokenError('INVALID_ARGUMENT', 'rows: count', 'from 0 to 1'));
  expect(() => rows(x, NaN, 1)).toThrow(foretokenError('INVALID_ARGUMENT', 'rows: start'));
  using scalar = device.zeros([]);
  expect(() => rows(scalar, 0, 1)).toThrow(foretokenError('SHAPE_MISMATCH', 'rows', 'scalar'));
});
