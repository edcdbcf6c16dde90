import { topK } from '../../../lib/tensor/ops/sampling/sampling';
import type { Device } from '../../../lib/tensor/device';
import { isEmulated, onDevice, onEachVariant, targets } from '../../support/devices';
import { foretokenError } from '../../support/errors';
import { Random } from '../../support/random';

/** Indices and values of the largest entries of each row, one row after another. */
interface Ranked {
  indices: Int32Array;
  values: Float32Array;
}

async function rankedBy(device: Device, rows: readonly ArrayLike<number>[], k: number): Promise<Ranked> {
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
  return { indices: index as Int32Array, values: value as Float32Array };
}

/** All entries of each row, ranked. */
function oracle(rows: readonly ArrayLike<number>[]): Ranked[] {
  return rows.map((row) => {
    const values = Float32Array.from(row, (x) => (Number.isNaN(x) ? -Infinity : x));
    const indices = Int32Array.from(row, (_, i) => i);
    indices.sort((a, b) => (values[a] === values[b] ? a - b : values[b]! - values[a]!));
    return { indices, values: Float32Array.from(indices, (i) => values[i]!) };
  });
}

const { is } = Object;

/** Compares in a loop, because toEqual takes seconds for so many numbers. */
function expectRanked({ indices, values }: Ranked, expected: readonly Ranked[], k: number): void {
  expect(indices).toHaveLength(expected.length * k);
  expected.forEach((row, r) => {
    for (let i = 0; i < k; i++) {
      const [index, value] = [indices[r * k + i], values[r * k + i]];
      if (index === row.indices[i] && is(value, row.values[i])) continue;
      expect({ r, i, index, value }).toEqual({ r, i, index: row.indices[i], value: row.values[i] });
    }
  });
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
      const ranked = oracle(rows);
      const whole = isEmulated(target) && cols > 4097 ? 3000 : cols;
      for (const k of [1, 2, 5, 50, 64, 65, whole].filter((k) => k <= cols)) {
        expectRanked(await rankedBy(device, rows, k), ranked, k);
      }
    });
  });

  it('does not depend on the number of threads', async () => {
    const random = new Random(1);
    const rows = Array.from({ length: 9 }, () => random.floats(5000).map((x) => Math.round(x * 100)));
    const ranked = oracle(rows);
    await onEachVariant(target, async (device) => {
      expectRanked(await rankedBy(device, rows, 20), ranked, 20);
    });
  });

  it('accepts any leading shape, no rows and no entries', async () => {
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
