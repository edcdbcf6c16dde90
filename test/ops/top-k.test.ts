import { topK } from '../../lib/tensor/ops/sampling';
import type { Device } from '../../lib/tensor/device';
import { isEmulated, onDevice, onEachVariant, targets } from '../support/devices';
import { foretokenError } from '../support/errors';
import { Random } from '../support/random';

type Ranked = [index: number, value: number][];

async function rankedBy(device: Device, rows: readonly ArrayLike<number>[], k: number): Promise<Ranked[]> {
  const cols = rows[0]!.length;
  using x = device.tensor(Float32Array.from(rows.flatMap((row) => Array.from(row))), [rows.length, cols]);
  const { indices, values } = topK(x, k);
  expect([indices.shape, values.shape]).toEqual([
    [rows.length, k],
    [rows.length, k],
  ]);
  const [index, value] = await Promise.all([indices.data(), values.data()]);
  indices.dispose();
  values.dispose();
  return rows.map((_, r) => Array.from({ length: k }, (_, i) => [index[r * k + i]!, value[r * k + i]!]));
}

function oracle(row: ArrayLike<number>, k: number): Ranked {
  const values = Array.from(row, (x) => (Number.isNaN(x) ? -Infinity : x));
  const order = values
    .map((_, i) => i)
    .sort((a, b) => (values[a] === values[b] ? a - b : values[b]! - values[a]!));
  return order.slice(0, k).map((i) => [i, values[i]!]);
}

describe.each(targets)('topK on %s', (target) => {
  it.each([1, 2, 7, 16, 33, 127, 500, 4097, 20011])('of rows of %d', async (cols) => {
    await onDevice(target, async (device) => {
      const random = new Random(cols);
      const rows = [
        random.floats(cols),
        random.floats(cols).map((x) => Math.round(3 * x)), // ties everywhere
        random.floats(cols).sort(),
        random.floats(cols).sort().reverse(),
        new Float32Array(cols),
        random.floats(cols).map((x) => (x > 0.5 ? NaN : x < -0.5 ? -Infinity : x)),
        random.floats(cols).map((x) => (x > 0.9 ? Infinity : -x)),
        new Float32Array(cols).fill(NaN),
      ];
      const whole = isEmulated(target) && cols > 4097 ? 3000 : cols;
      for (const k of [1, 2, 5, 50, 64, 65, whole].filter((k) => k <= cols)) {
        expect(await rankedBy(device, rows, k)).toEqual(rows.map((row) => oracle(row, k)));
      }
    });
  });

  it('does not depend on the number of threads', async () => {
    const random = new Random(1);
    const rows = Array.from({ length: 9 }, () => random.floats(5000).map((x) => Math.round(x * 100)));
    const expected = rows.map((row) => oracle(row, 20));
    await onEachVariant(target, async (device) => {
      expect(await rankedBy(device, rows, 20)).toEqual(expected);
    });
  });

  it('takes any leading shape, no rows and no entries', async () => {
    await onDevice(target, async (device) => {
      using x = device.tensor(Float32Array.of(1, 4, 2, 3, 9, 8, 7, 5), [2, 2, 2]);
      const { indices } = topK(x, 1);
      expect(indices.shape).toEqual([2, 2, 1]);
      expect(await indices.data()).toEqual(Int32Array.of(1, 1, 0, 0));
      using none = device.empty([0, 5]);
      expect(topK(none, 3).indices.shape).toEqual([0, 3]);
      expect(topK(x, 0).indices.shape).toEqual([2, 2, 0]);
    });
  });

  it.each([-1, 3, 1.5, NaN])('refuses k = %d of 2 columns', async (k) => {
    await onDevice(target, async (device) => {
      using x = device.zeros([4, 2]);
      expect(() => topK(x, k)).toThrow(foretokenError('INVALID_ARGUMENT', 'topK: k must be'));
    });
  });
});
