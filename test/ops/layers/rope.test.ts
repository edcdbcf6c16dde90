import { rope, ropeTable } from '../../../lib/tensor/ops/layers/rope';
import { expectSameBits, expectWithinRoundings } from '../../support/accuracy';
import { onCpu, onDeviceOnly } from '../../support/cpu';
import { bfloat16Targets, onAllVariants, onDevice, targets } from '../../support/devices';
import { foretokenError } from '../../support/errors';
import { checkGradients } from '../../support/gradcheck';
import { representable } from '../../support/half';
import { Random } from '../../support/random';

const theta = 10_000;
const random = new Random(41);
/** theta^(-2i/dim) */
const frequenciesOf = (dim: number, base: number): number[] =>
  Array.from({ length: dim / 2 }, (_, i) => base ** ((-2 * i) / dim));

const shapes = [
  { rows: 1, heads: 1, rotatedHeads: 1, headDim: 2, rotatedDim: 2, scale: 1 },
  { rows: 3, heads: 4, rotatedHeads: 3, headDim: 6, rotatedDim: 6, scale: 1.25 },
  { rows: 5, heads: 4, rotatedHeads: 3, headDim: 7, rotatedDim: 2, scale: 1 },
  { rows: 7, heads: 3, rotatedHeads: 0, headDim: 14, rotatedDim: 14, scale: 1 },
  { rows: 31, heads: 2, rotatedHeads: 2, headDim: 62, rotatedDim: 62, scale: 0.9 },
  { rows: 9, heads: 3, rotatedHeads: 2, headDim: 96, rotatedDim: 64, scale: 1.19 },
  { rows: 5, heads: 2, rotatedHeads: 1, headDim: 21, rotatedDim: 16, scale: 1 },
  { rows: 9, heads: 3, rotatedHeads: 2, headDim: 64, rotatedDim: 24, scale: 1 },
  { rows: 47, heads: 6, rotatedHeads: 4, headDim: 128, rotatedDim: 128, scale: 1 }, // split into parts
  { rows: 0, heads: 2, rotatedHeads: 1, headDim: 4, rotatedDim: 4, scale: 1 },
];

const ways = [
  ...targets.map((target) => [target, 'float32'] as const),
  ...bfloat16Targets.map((target) => [target, 'bfloat16'] as const),
];

describe.each(ways)('%s in %s', (target, dtype) => {
  test.each(shapes)('$rows rows, $rotatedDim of $headDim in $rotatedHeads of $heads heads', async (shape) => {
    const { rows, heads, rotatedHeads, headDim, rotatedDim, scale } = shape;
    const x = representable(random.floats(rows * heads * headDim, 3), 'bfloat16');
    const positions = Int32Array.from({ length: rows }, () => random.integer(3000));
    const [y, back] = await onAllVariants(target, (device) => {
      const leaf = device
        .tensor(x, [rows, heads * headDim])
        .cast(dtype)
        .requireGrad();
      const table = ropeTable(device, 3000, { frequencies: frequenciesOf(rotatedDim, theta), scale });
      const out = rope(leaf, device.tensor(positions), table, { heads, rotatedHeads });
      out.backward(leaf.detach());
      return [out, leaf.grad!].map((tensor) => tensor.cast('float32'));
    });
    // Rotate-half: x cos + rotate(x) sin with rotate(x) = [-second half ; first half], angles repeated for both halves.
    const half = rotatedDim / 2;
    for (const [turned, sign] of [[y!, 1] as const, [back!, -1] as const]) {
      const [oracle, allowed] = [new Float64Array(x.length), new Float64Array(x.length)];
      for (let i = 0; i < x.length; i++) {
        const [row, head, at] = [
          Math.floor(i / (heads * headDim)),
          Math.floor(i / headDim) % heads,
          i % headDim,
        ];
        const angle = sign * positions[row]! * theta ** ((-2 * (at % half)) / rotatedDim);
        const other = at < half ? -x[i + half]! : x[i - half]!;
        const isRotated = head < rotatedHeads && at < rotatedDim;
        oracle[i] = isRotated ? scale * (x[i]! * Math.cos(angle) + other * Math.sin(angle)) : x[i]!;
        allowed[i] = isRotated ? 3 * scale * (Math.abs(x[i]!) + Math.abs(other)) : 0;
        // One rounding to bfloat16 at the end.
        if (dtype === 'bfloat16') allowed[i]! += Math.abs(oracle[i]!) * 2 ** 16 * (1 + 2 ** -8);
      }
      expectWithinRoundings(turned, oracle, 1, allowed);
    }
  });
});

describe.each(targets)('%s', (target) => {
  test('position 0 changes nothing, and the inverse rotation undoes the rotation', async () => {
    const x = random.floats(5 * 24);
    const [still, back] = await onAllVariants(target, (device) => {
      const input = device.tensor(x, [5, 24]);
      const table = ropeTable(device, 100, { frequencies: frequenciesOf(12, theta) });
      const options = { heads: 2, rotatedHeads: 2 };
      const leaf = input.detach().requireGrad();
      const turned = rope(leaf, device.tensor(Int32Array.of(0, 1, 50, 99, 7)), table, options);
      turned.backward(turned.detach());
      return [rope(input, device.tensor(new Int32Array(5)), table, options), leaf.grad!];
    });
    expectSameBits(still!, x);
    expectWithinRoundings(back!, x, 4, new Float32Array(x.length).fill(1));
  });

  test('gradients', async () => {
    await onDevice(target, async (device) => {
      using table = ropeTable(device, 50, { frequencies: frequenciesOf(4, theta), scale: 1.3 });
      using positions = device.tensor(Int32Array.of(0, 49, 3));
      await checkGradients(device, [{ data: random.floats(3 * 24), shape: [3, 24] }], (x) =>
        rope(x, positions, table, { heads: 4, rotatedHeads: 3 }),
      );
    });
  });

  test.each([-1, 10, -(2 ** 31)])('position %i of 10 is refused', async (bad) => {
    await onDevice(target, async (device) => {
      using table = ropeTable(device, 10, { frequencies: frequenciesOf(4, theta) });
      using x = device.zeros([2, 4]);
      const options = { heads: 1, rotatedHeads: 1 };
      const refusal = foretokenError('INDEX_OUT_OF_RANGE', 'rope: positions[1]', String(bad), '0 … 9');
      expect(() => rope(x, device.tensor(Int32Array.of(9, bad)), table, options)).toThrow(refusal);
      await expect(rope(x, onDeviceOnly(device, [9, bad]), table, options).data()).rejects.toThrow(refusal);
    });
  });
});

test('a table holds the cosines and sines of position · frequency, times the scale', async () => {
  await onCpu({}, async (device) => {
    const frequencies = [1, 0.3, 0];
    using plain = ropeTable(device, 5, { frequencies });
    using scaled = ropeTable(device, 5, { frequencies: Float64Array.from(frequencies), scale: 1.5 });
    const expected = (scale: number): Float32Array =>
      Float32Array.from({ length: 30 }, (_, i) => {
        const angle = Math.floor(i / 6) * frequencies[i % 3]!;
        return scale * (i % 6 < 3 ? Math.cos(angle) : Math.sin(angle));
      });
    expect(await plain.data()).toEqual(expected(1));
    expect(await scaled.data()).toEqual(expected(1.5));
  });
});

test.each<[unknown, string]>([
  [{}, 'frequencies'],
  [{ frequencies: [] }, 'frequencies'],
  [{ frequencies: [1, NaN] }, 'frequencies'],
  [{ frequencies: new Array(2) }, 'frequencies'],
  [{ frequencies: Float32Array.of(1) }, 'frequencies'],
  [{ frequencies: [1], scale: Infinity }, 'scale'],
])('angles %p are refused', async (angles, name) => {
  await onCpu({}, async (device) => {
    expect(() => ropeTable(device, 2, angles as never)).toThrow(
      foretokenError('INVALID_ARGUMENT', 'ropeTable', name),
    );
    await device.synchronize();
  });
});

test('arguments that do not match are named', async () => {
  await onCpu({}, async (device) => {
    const [x, positions] = [device.zeros([2, 12]), device.tensor(Int32Array.of(0, 1))];
    const table = ropeTable(device, 10, { frequencies: frequenciesOf(4, theta) });
    const call =
      (heads: number, rotatedHeads: number, angles = table, at = positions) =>
      () =>
        rope(x, at, angles, { heads, rotatedHeads });
    expect(call(5, 1)).toThrow(
      foretokenError('SHAPE_MISMATCH', 'rope', 'x is [2, 12]', 'last dimension', 'heads', '5'),
    );
    expect(call(4, 1)).toThrow(foretokenError('SHAPE_MISMATCH', 'rope', 'table is [10, 4]', 'a head, 3'));
    expect(call(3, 4)).toThrow(foretokenError('INVALID_ARGUMENT', 'rotatedHeads', '0 … 3', '4'));
    expect(call(3, 3, device.zeros([10, 3]))).toThrow(foretokenError('SHAPE_MISMATCH', 'table', 'even'));
    expect(call(3, 3, table, device.tensor(Int32Array.of(0)))).toThrow(
      foretokenError('SHAPE_MISMATCH', 'positions is [1]', '[2]'),
    );
    expect(call(2 ** 31 - 1, 1)).toThrow(foretokenError('SHAPE_MISMATCH', 'x is [2, 12]'));
    await device.synchronize();
  });
});
