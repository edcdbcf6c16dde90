import { native } from '../../../lib/native/load';
import type { Device } from '../../../lib/tensor/device';
import { add, concat, scale, silu } from '../../../lib/tensor/ops/layers/elementwise';
import { reshape, rows, sliceColumns } from '../../../lib/tensor/ops/layers/reshape';
import { Tensor } from '../../../lib/tensor/tensor';
import { expectRoundedOnce, expectSameBits, expectWithinRoundings } from '../../support/accuracy';
import { onCpu, take } from '../../support/cpu';
import { bfloat16Targets, onAllVariants, onDevice, targets } from '../../support/devices';
import { foretokenError } from '../../support/errors';
import { checkGradients } from '../../support/gradcheck';
import { decode, nearest, representable, tensorOf, type HalfDType } from '../../support/half';
import { Random } from '../../support/random';

/** Odd sizes, and one that is split into parts. */
const counts = [0, 1, 3, 7, 31, 47, 257, 40_001];
const matrices = [
  [0, 3],
  [3, 0],
  [1, 1],
  [1, 257],
  [7, 31],
  [47, 3],
  [130, 257],
] as const;
const random = new Random(5);

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const siluOf = (x: number): number => x * sigmoid(x);
const siluSlope = (x: number): number => sigmoid(x) * (1 + x * sigmoid(-x));
/** The magnitude of the terms of {@link siluSlope}, which cancel near x = -1.278. */
const slopeSize = (x: number): number => sigmoid(x) * (1 + Math.abs(x) * sigmoid(-x));

function map(f: (...values: number[]) => number, ...inputs: ArrayLike<number>[]): Float64Array {
  return Float64Array.from({ length: inputs[0]!.length }, (_, i) => f(...inputs.map((input) => input[i]!)));
}

function copyOf(x: Tensor): Tensor {
  return x.device.empty(x.shape, x.dtype).copyFrom(x);
}

/** The columns first … first + dim - 1 of rows that have 2 · dim columns. */
function side(both: Float32Array, dim: number, first: number): Float32Array {
  const place = (i: number): number => Math.floor(i / dim) * 2 * dim + first + (i % dim);
  return Float32Array.from({ length: both.length / 2 }, (_, i) => both[place(i)]!);
}

describe.each(targets)('%s', (target) => {
  test.each(counts)('%i elements', async (count) => {
    const [a, b] = [random.floats(count, 12), random.floats(count, 12)];
    const results = await onAllVariants(target, (device) => {
      const [x, y] = [device.tensor(a), device.tensor(b)];
      const accumulated = device.tensor(a);
      native.accumulate(accumulated.handle, y.handle, -0.7);
      const slope = new Tensor(device, native.siluBackward(y.handle, x.handle));
      return [
        device.empty([count]).fill(-2.5),
        device.empty([count]).copyFrom(x),
        add(x, y),
        accumulated,
      ].concat([scale(x, 0.3), silu(x), slope]);
    });
    const [filled, copied, sum, accumulated, scaled, activated, slope] = results;
    expectSameBits(filled!, new Float32Array(count).fill(-2.5));
    expectSameBits(copied!, a);
    expectSameBits(
      sum!,
      a.map((x, i) => x + b[i]!),
    );
    const factor = Math.fround(-0.7);
    const sizes = map((x, y) => Math.abs(x) + Math.abs(factor * y), a, b);
    expectWithinRoundings(
      accumulated!,
      map((x, y) => x + factor * y, a, b),
      2,
      sizes,
    );
    expectSameBits(
      scaled!,
      a.map((x) => x * Math.fround(0.3)),
    );
    expectWithinRoundings(activated!, map(siluOf, a), 5);
    expectWithinRoundings(
      slope!,
      map((x, y) => y * siluSlope(x), a, b),
      8,
      map((x, y) => y * slopeSize(x), a, b),
    );
  });

  test.each(matrices)('%i x %i rows and columns', async (rows, dim) => {
    const [left, right] = [random.floats(rows * dim, 4), random.floats(rows * dim, 4)];
    const [both, columns] = await onAllVariants(target, (device) => {
      const joined = concat(device.tensor(left, [rows, dim]), device.tensor(right, [rows, dim]));
      return [joined, sliceColumns(joined, dim, dim)];
    });
    expectSameBits(side(both!, dim, 0), left);
    expectSameBits(side(both!, dim, dim), right);
    expectSameBits(columns!, right);
  });

  test('silu at the ends of the range', async () => {
    const x = Float32Array.of(0, -0, 1e-30, -1e-30, 80, -80, -100, 3e38, NaN, Infinity);
    const [y, slope] = await onAllVariants(target, (device) => {
      const [at, ones] = [device.tensor(x), device.empty([x.length]).fill(1)];
      return [silu(at), new Tensor(device, native.siluBackward(ones.handle, at.handle))];
    });
    expectWithinRoundings(y!.subarray(0, 8), map(siluOf, x.subarray(0, 8)), 64);
    expect(y!.subarray(8)).toEqual(Float32Array.of(NaN, Infinity));
    expectWithinRoundings(slope!.subarray(0, 8), map(siluSlope, x.subarray(0, 8)), 64);
  });

  test('silu over the whole range, as exact as exp is documented to be', async () => {
    const between = (low: number, high: number): Float32Array =>
      Float32Array.from({ length: 20_001 }, (_, i) => low + ((high - low) * i) / 20_000);
    const [low, all] = [between(-86, -40), between(-86, 80)];
    const [tail, y, slope] = await onAllVariants(target, (device) => {
      const [at, ones] = [device.tensor(all), device.empty([all.length]).fill(1)];
      return [
        silu(device.tensor(low)),
        silu(at),
        new Tensor(device, native.siluBackward(ones.handle, at.handle)),
      ];
    });
    // In the low range silu is x e^x: apart from the roundings of two products, the error is that of exp.
    expectWithinRoundings(tail!, map(siluOf, low), 3);
    expectWithinRoundings(y!, map(siluOf, all), 4);
    expectWithinRoundings(slope!, map(siluSlope, all), 5.5, map(slopeSize, all));
  });

  test.each([
    [1, 1],
    [2, 8],
    [4, 3],
    [8, 6],
    [5, 16],
  ])('views that start at elements %i and %i leave the elements around them alone', async (first, second) => {
    const [count, room] = [70, 90];
    const [a, b] = [0, 1].map(() => representable(random.floats(room, 12), 'bfloat16'));
    const dtypes = ['float32', 'bfloat16'] as const;
    for (const dtype of bfloat16Targets.includes(target) ? dtypes : (['float32'] as const)) {
      const results = await onAllVariants(target, (device) => {
        const whole = (values: Float32Array): Tensor => tensorOf(device, values, [room], dtype);
        const [x, y] = [whole(a!).view(first, [count]), whole(b!).view(second, [count])];
        const ofBoth = [
          [x, y],
          [copyOf(x), copyOf(y)],
        ].flatMap(([u, v]) => {
          const sum = copyOf(u!);
          native.accumulate(sum.handle, v!.handle, 2);
          return [u!, add(u!, v!), silu(v!), scale(u!, 3), sum];
        });
        const zeros = [0, 1, 2].map(() => whole(new Float32Array(room)));
        const [copied, filled, summed] = zeros.map((all) => all.view(second, [count]));
        copied!.copyFrom(x);
        filled!.fill(7);
        native.accumulate(summed!.handle, x.handle, 1);
        return [...ofBoth, ...zeros].map((tensor) => tensor.cast('float32'));
      });
      for (let i = 0; i < 5; i++) expectSameBits(results[i]!, results[i + 5]!);
      const placed = (values: ArrayLike<number>): Float32Array => {
        const all = new Float32Array(room);
        all.set(values, second);
        return all;
      };
      const part = a!.slice(first, first + count);
      expectSameBits(results[10]!, placed(part));
      expectSameBits(results[11]!, placed(new Float32Array(count).fill(7)));
      expectSameBits(results[12]!, placed(part));
    }
  });

  test('a factor that only the device knows', async () => {
    const x = random.floats(47);
    const [scaled, accumulated] = await onAllVariants(target, (device) => {
      const [input, factor] = [device.tensor(x), device.tensor(Float32Array.of(0.5))];
      const sum = device.zeros([47]);
      native.accumulate(sum.handle, input.handle, 4, factor.handle);
      return [new Tensor(device, native.scale(input.handle, 8, factor.handle)), sum];
    });
    expectSameBits(
      scaled!,
      x.map((value) => 4 * value),
    );
    expectSameBits(
      accumulated!,
      x.map((value) => 2 * value),
    );
  });

  test('gradients', async () => {
    await onDevice(target, async (device) => {
      const input = (shape: readonly number[]): { data: Float32Array; shape: readonly number[] } => ({
        data: random.floats(
          shape.reduce((a, b) => a * b),
          2,
        ),
        shape,
      });
      await checkGradients(device, [input([3, 5]), input([3, 5])], add);
      await checkGradients(device, [input([3, 5])], (x) => add(x, x));
      await checkGradients(device, [input([7])], (x) => scale(x, -1.5));
      await checkGradients(device, [input([31])], silu);
      await checkGradients(device, [input([2, 3]), input([2, 5])], concat);
      await checkGradients(device, [input([3, 9])], (x) => sliceColumns(x, 2, 4));
      await checkGradients(device, [input([5, 3])], (x) => rows(x, 1, 2));
      await checkGradients(device, [input([2, 3, 4])], (x) => rows(silu(x), 1, 1));
      await checkGradients(device, [input([5, 3])], (x) => add(rows(x, 0, 3), silu(rows(silu(x), 1, 3))));
      await checkGradients(device, [input([3, 4])], (x) => silu(reshape(x, [2, 6])));
    });
  });
});

test.each(targets)('columns that begin between vectors, on %s', async (target) => {
  const [rows, dim, start, width] = [5, 16, 2, 8];
  const x = random.floats(rows * dim);
  const [columns] = await onAllVariants(target, (device) => [
    sliceColumns(device.tensor(x, [rows, dim]), start, width),
  ]);
  const expected = x.filter((_, i) => i % dim >= start && i % dim < start + width);
  expectSameBits(columns!, expected);
});

describe.each(bfloat16Targets)('in bfloat16 on %s', (target) => {
  const halves = (count: number, scale: number): Float32Array =>
    representable(random.floats(count, scale), 'bfloat16');
  /** Runs `fn` on bfloat16 tensors of the given values; returns its results as float32. */
  const run = (
    inputs: Float32Array[],
    shape: readonly number[],
    fn: (device: Device, ...tensors: Tensor[]) => Tensor[],
  ): Promise<Float32Array[]> =>
    onAllVariants(target, (device) => {
      const tensors = inputs.map((values) => tensorOf(device, values, shape, 'bfloat16'));
      return fn(device, ...tensors).map((x) => (x.dtype === 'float32' ? x : x.cast('float32')));
    });

  test.each(counts)('%i elements', async (count) => {
    const [a, b] = [halves(count, 12), halves(count, 12)];
    const results = await run([a, b], [count], (device, x, y) => {
      const [half, wide, mixed] = [copyOf(x), device.tensor(a), copyOf(x)];
      native.accumulate(half.handle, y.handle, -0.7);
      native.accumulate(wide.handle, y.handle, -0.7);
      native.accumulate(mixed.handle, device.tensor(b).handle, -0.7);
      const filled = device.empty([count], 'bfloat16').fill(0.3);
      const slope = new Tensor(device, native.siluBackward(y.handle, x.handle));
      return [filled, add(x, y), half, wide, mixed, scale(x, 0.3), silu(x), slope];
    });
    const [filled, sum, half, wide, mixed, scaled, activated, slope] = results;
    expectSameBits(filled!, new Float32Array(count).fill(nearest(0.3, 'bfloat16')));
    const sizeOf = (x: number, y: number): number => Math.abs(x) + Math.abs(y);
    expectRoundedOnce(
      sum!,
      map((x, y) => x + y, a, b),
      1,
    );
    const factor = Math.fround(-0.7);
    const accumulated = map((x, y) => x + factor * y, a, b);
    const sizes = map((x, y) => sizeOf(x, factor * y), a, b);
    expectRoundedOnce(half!, accumulated, 2, sizes);
    expectWithinRoundings(wide!, accumulated, 2, sizes);
    expectSameBits(mixed!, half!);
    expectRoundedOnce(
      scaled!,
      map((x) => x * Math.fround(0.3), a),
      1,
    );
    expectRoundedOnce(activated!, map(siluOf, a), 5);
    expectRoundedOnce(
      slope!,
      map((x, y) => y * siluSlope(x), a, b),
      8,
      map((x, y) => y * slopeSize(x), a, b),
    );
  });

  test.each(matrices)('%i x %i rows and columns', async (rows, dim) => {
    const [left, right] = [halves(rows * dim, 4), halves(rows * dim, 4)];
    const [both, columns] = await run([left, right], [rows, dim], (_, x, y) => {
      const joined = concat(x, y);
      return [joined, sliceColumns(joined, dim, dim)];
    });
    expectSameBits(side(both!, dim, 0), left);
    expectSameBits(side(both!, dim, dim), right);
    expectSameBits(columns!, right);
  });
});

describe.each(targets)('casts on %s', (target) => {
  const patterns = Uint16Array.from({ length: 65536 }, (_, i) => i);

  test.each(['bfloat16', 'float16'] as const)(
    'every %s becomes the float32 of the same value',
    async (dtype) => {
      const [values] = await onAllVariants(target, (device) => [
        device.tensor(patterns, [65536], dtype).cast('float32'),
      ]);
      expect(values).toEqual(decode(patterns, dtype));
      expect(Object.is(values![0x8000], -0)).toBe(true);
    },
  );

  test.each(['bfloat16', 'float16'] as const)('float32 becomes the nearest %s', async (dtype) => {
    const values = interestingFloats(dtype);
    await onDevice(target, async (device) => {
      using input = device.tensor(values);
      using output = input.cast(dtype);
      const actual = decode((await output.data()) as Uint16Array, dtype);
      for (let i = 0; i < values.length; i++) {
        const expected = nearest(values[i]!, dtype);
        if (Object.is(actual[i], expected)) continue;
        throw new Error(`${values[i]} became ${actual[i]} instead of ${expected}`);
      }
    });
  });

  test.each(['bfloat16', 'float16'] as const)('a NaN of any bits stays NaN in %s', async (dtype) => {
    // Rounding the first two up would carry into the sign, or out of it.
    const bits = Uint32Array.of(0x7fffffff, 0xffffffff, 0x7f800001, 0xff800001, 0x7fc00000);
    await onDevice(target, async (device) => {
      using output = device.tensor(new Float32Array(bits.buffer)).cast(dtype);
      expect([...decode((await output.data()) as Uint16Array, dtype)]).toEqual([NaN, NaN, NaN, NaN, NaN]);
    });
  });

  test('casts between the 16-bit formats go through float32 exactly', async () => {
    await onDevice(target, async (device) => {
      using input = device.tensor(patterns, [65536], 'bfloat16');
      using output = input.cast('float16');
      const expected = decode(patterns, 'bfloat16').map((value) => nearest(value, 'float16'));
      expect(decode((await output.data()) as Uint16Array, 'float16')).toEqual(expected);
    });
  });
});

/** Random bits, and for many values of the dtype the value, the point half way to the next one, and its neighbours. */
function interestingFloats(dtype: HalfDType): Float32Array {
  const words = Uint32Array.from({ length: 20_000 }, () => random.integer(2 ** 32));
  const values = [
    ...new Float32Array(words.buffer),
    NaN,
    Infinity,
    -Infinity,
    0,
    -0,
    65519.996,
    65520,
    3.4e38,
    1e-45,
  ];
  const held = decode(
    Uint16Array.from({ length: 5000 }, () => random.integer(2 ** 16)),
    dtype,
  );
  const next = (bits: number, by: number): number => new Float32Array(Uint32Array.of(bits + by).buffer)[0]!;
  for (const value of held) {
    const bits = new Uint32Array(Float32Array.of(value).buffer)[0]!;
    const half = dtype === 'bfloat16' ? 0x8000 : 0x1000;
    values.push(value, ...[half - 1, half, half + 1].map((by) => next(bits, by)));
  }
  return Float32Array.from(values);
}

test('wrong shapes are named', async () => {
  await onCpu({}, async (device) => {
    const [a, b] = [device.zeros([2, 3]), device.zeros([3, 2])];
    expect(() => add(a, b)).toThrow(foretokenError('SHAPE_MISMATCH', 'add', 'a', '[2, 3]', 'b', '[3, 2]'));
    expect(() => concat(a, b)).toThrow(foretokenError('SHAPE_MISMATCH', 'concat', '[2, 3]', '[3, 2]'));
    expect(() => sliceColumns(a, 2, 2)).toThrow(foretokenError('INVALID_ARGUMENT', 'sliceColumns', 'dim'));
    expect(() => sliceColumns(a, -1, 2)).toThrow(foretokenError('INVALID_ARGUMENT', 'sliceColumns', 'start'));
    expect(() => reshape(a, [5])).toThrow(foretokenError('SHAPE_MISMATCH', 'reshape', '[2, 3]', '[5]'));
    expect(() => a.copyFrom(device.zeros([5]))).toThrow(foretokenError('SHAPE_MISMATCH', 'copyInto', '[5]'));
    expect(() => scale(a, NaN)).toThrow(foretokenError('INVALID_ARGUMENT', 'scale', 'factor', 'nan'));
    await device.synchronize();
  });
});

test('copies between overlapping views are refused', async () => {
  await onCpu({}, async (device) => {
    const whole = device.tensor(Float32Array.of(1, 2, 3, 4, 5, 6));
    const view = (offset: number): Tensor => whole.view(offset, [3]);
    expect(() => view(0).copyFrom(view(2))).toThrow(
      foretokenError('INVALID_ARGUMENT', 'copyInto', 'overlap'),
    );
    expect(() => view(2).copyFrom(view(0))).toThrow(
      foretokenError('INVALID_ARGUMENT', 'copyInto', 'overlap'),
    );
    view(1).copyFrom(view(1));
    view(0).copyFrom(view(3));
    expect(await take(whole)).toEqual(Float32Array.of(4, 5, 6, 4, 5, 6));
  });
});
