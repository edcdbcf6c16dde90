// Weights packed in dot format, for products in their own type, against the definition; on every instruction-set level,
// because each has its own instructions for them.
import type { DotDType } from '../../../lib/native/binding';
import { native } from '../../../lib/native/load';
import { openDevice, type Device } from '../../../lib/tensor/device';
import { embedding } from '../../../lib/tensor/ops/layers/embedding';
import {
  linear,
  PACKED_ROWS,
  packedZeros,
  packRows,
  packWeight,
} from '../../../lib/tensor/ops/linear/linear';
import { linearCrossEntropy } from '../../../lib/tensor/ops/loss/linear-cross-entropy';
import { linearSample, sampleLogits } from '../../../lib/tensor/ops/sampling/sampling';
import { uploadTrees } from '../../../lib/tensor/ops/attention/tree-rows';
import { readPaths, verifyTree } from '../../../lib/tensor/ops/sampling/verify-tree';
import type { Tensor } from '../../../lib/tensor/tensor';
import { exact, expectAsGoodAsFloat32, expectSameBits, float32 } from '../../support/accuracy';
import { allIsaLevels, take } from '../../support/cpu';
import { onAllVariants, onDevice } from '../../support/devices';
import { takeIndices } from '../../support/draws';
import { foretokenError } from '../../support/errors';
import { representable, tensorOf } from '../../support/half';
import { dotFormats } from '../../support/dot-formats';
import { Random } from '../../support/random';

/** Rows, inputs, outputs. */
const shapes = [
  [1, 1, 1],
  [3, 31, 5],
  [2, 32, 17],
  [13, 33, 65],
  [5, 100, 16],
  [12, 64, 32],
  [29, 96, 70],
  [180, 3200, 2], // several blocks of rows
  [3, 24_001, 2],
  [0, 3, 5],
] as const;

interface Problem {
  shape: readonly [number, number, number];
  x: Float32Array;
  weight: Float32Array;
  bias: Float32Array;
}

/** Values whose magnitudes differ widely between rows and groups. */
function problemOf(shape: readonly [number, number, number]): Problem {
  const [rows, inputs, outputs] = shape;
  const random = new Random(rows + inputs);
  const sizes = random.floats(64, 2);
  const sized = (values: Float32Array): Float32Array =>
    values.map((value, i) => value * sizes[(i >> 5) % 64]!);
  return {
    shape,
    x: sized(random.floats(rows * inputs, 2)),
    weight: sized(random.floats(outputs * inputs)),
    bias: random.floats(outputs, 4),
  };
}

function upload(
  device: Device,
  { shape: [rows, inputs, outputs], x, weight, bias }: Problem,
  dtype: DotDType,
): Tensor[] {
  return [
    device.tensor(x, [rows, inputs]),
    packWeight(device.tensor(weight, [outputs, inputs]), dtype),
    device.tensor(bias),
  ];
}

/** All rows of a packed weight, as float32. */
function rowsOf(packed: Tensor): Tensor {
  const tokens = Int32Array.from({ length: packed.shape[0]! }, (_, token) => token);
  return embedding(packed.device.tensor(tokens), packed);
}

/** Expected results, computed once for all levels. */
const known = new Map<string, { held: Float32Array; exact: Float64Array; plain: Float64Array }>();

function expectedOf(dtype: DotDType, { shape, x, weight, bias }: Problem) {
  const key = `${dtype} ${shape.join()}`;
  const [, inputs, outputs] = shape;
  const withBias = (round: typeof exact): Float64Array =>
    dotFormats[dtype].multiply(x, weight, inputs, round).map((sum, i) => round(sum + bias[i % outputs]!));
  const found = known.get(key) ?? {
    held: Float32Array.from(dotFormats[dtype].held(weight, inputs)),
    exact: withBias(exact),
    plain: withBias(float32),
  };
  known.set(key, found);
  return found;
}

const dtypes = ['bfloat16', 'int8'] as const;
const cases = dtypes.flatMap((dtype) => allIsaLevels.map((isa) => [dtype, isa] as const));

describe.each(cases)('%s on %s', (dtype, isa) => {
  const oracle = dotFormats[dtype];

  test.each(shapes)('%i rows, %i inputs, %i outputs', async (...shape) => {
    const problem = problemOf(shape);
    const [y, held] = await onAllVariants(isa, (device) => {
      const [x, packed, bias] = upload(device, problem, dtype);
      expect([packed!.dtype, packed!.shape]).toEqual([dtype, [shape[2], shape[1]]]);
      return [linear(x!, packed!, bias), rowsOf(packed!)];
    });
    const expected = expectedOf(dtype, problem);
    expectSameBits(held!, expected.held);
    expectAsGoodAsFloat32(y!, expected.exact, expected.plain);
  });

  test.each(['bfloat16', 'float16'] as const)('packed from a weight in %s', async (given) => {
    const [inputs, outputs] = [45, 37];
    const weight = representable(new Random(5).floats(outputs * inputs), given);
    const [held] = await onAllVariants(isa, (device) => [
      rowsOf(packWeight(tensorOf(device, weight, [outputs, inputs], given), dtype)),
    ]);
    expectSameBits(held!, Float32Array.from(oracle.held(weight, inputs)));
  });

  test('a row has the same bits whatever rows stand beside it', async () => {
    const problem = problemOf([40, 77, 35]);
    const some = [0, 13, 39];
    const [together, ...alone] = await onAllVariants(isa, (device) => {
      const [x, packed] = upload(device, problem, dtype);
      return [linear(x!, packed!), ...some.map((row) => linear(x!.view(row * 77, [1, 77]), packed!))];
    });
    some.forEach((row, i) => expectSameBits(alone[i]!, together!.slice(row * 35, (row + 1) * 35)));
  });

  // Groups of zeros, of small numbers and of the largest ones; then groups with NaN or infinities.
  test('numbers at the ends of the range', async () => {
    const inputs = 160;
    const sizes = [0, 1e-37, 3e38, 1, 1];
    const values = new Random(9).floats(inputs).map((value, i) => Math.sign(value) * sizes[i >> 5]!);
    const small = values.map((value, i) => (i >> 5 === 2 ? 0 : value));
    const holding = (number: number): Float32Array => small.map((value, i) => (i === 130 ? number : value));
    const rows = [values, holding(NaN), holding(Infinity), holding(-Infinity), small];
    const [held, y] = await onAllVariants(isa, (device) => {
      const all = device.tensor(Float32Array.from(rows.flatMap((row) => [...row])), [5, inputs]);
      const ones = device.tensor(new Float32Array(inputs).fill(1), [1, inputs]);
      return [rowsOf(packWeight(all, dtype)), linear(all, packWeight(ones, dtype))];
    });
    const expected = rows.flatMap((row) => [...oracle.held(row, inputs)]);
    expect([...held!]).toEqual([...Float32Array.from(expected)]);
    const sums = [...y!];
    // A group with a number that is not finite has no scale.
    expect(sums.slice(1, 4)).toEqual(dtype === 'int8' ? [NaN, NaN, NaN] : [NaN, Infinity, -Infinity]);
    expect(sums[4]).toBeCloseTo(
      small.reduce((sum, value) => sum + value, 0),
      dtype === 'int8' ? 2 : 5,
    );
  });

  test('numbers too small for a scale, and denormal numbers, become 0', async () => {
    const tiny = Float32Array.of(1e-37, -2e-37, 1e-38, 1e-40, 1e-37).map((value) =>
      dtype === 'int8' ? value : value / 32,
    );
    const [held, y] = await onAllVariants(isa, (device) => {
      const [small, ones] = [tiny, new Float32Array(5).fill(1)].map((row) => device.tensor(row, [1, 5]));
      return [rowsOf(packWeight(small!, dtype)), linear(small!, packWeight(ones!, dtype))];
    });
    expect([...held!, ...y!]).toEqual([0, 0, 0, 0, 0, 0]);
  });

  test('draws, trees and losses read the same logits', async () => {
    const [rows, inputs, vocab] = [9, 70, 601];
    const problem = problemOf([rows, inputs, vocab]);
    await onDevice(isa, async (device) => {
      const [x, packed, bias] = upload(device, problem, dtype);
      const positions = device.tensor(Int32Array.from({ length: rows }, (_, row) => row + 1));
      const logits = linear(x!, packed!, bias);
      for (const temperature of [0, 0.8]) {
        const options = { temperature, seed: 3n };
        const drawn = await takeIndices(sampleLogits(logits, positions, options));
        const fused = linearSample(x!, packed!, { bias: bias!, positions, ...options });
        expect(await takeIndices(fused)).toEqual(drawn);
        // A chain of the drawn tokens is accepted to its end, at the same positions.
        const tree = uploadTrees(device, [{ parents: drawn.map((_, row) => row - 1), length: 0 }]);
        for (const topP of [1, 0.9]) {
          const sampling = { ...options, topP };
          const expected = await takeIndices(sampleLogits(logits, positions, sampling));
          const tokens = device.tensor(Int32Array.of(0, ...expected.slice(0, -1)));
          const result = verifyTree({ hidden: x!, weight: packed!, bias, tokens, tree, sampling });
          const [path] = await readPaths(result, tree);
          expect(path!.tokens).toEqual([...expected]);
        }
      }
      const targets = Int32Array.from({ length: rows }, (_, row) => (row * 67) % vocab);
      const losses = linearCrossEntropy(x!, packed!, device.tensor(targets), {
        bias: bias!,
        outputs: ['nll', 'argmax'],
      });
      const z = await take(logits);
      const nll = await take(losses.nll!);
      const argmax = await takeIndices(losses.argmax!);
      for (let row = 0; row < rows; row++) {
        const own = [...z.subarray(row * vocab, (row + 1) * vocab)];
        const top = Math.max(...own);
        const lse = top + Math.log(own.reduce((sum, value) => sum + Math.exp(value - top), 0));
        expect(nll[row]).toBeCloseTo(lse - own[targets[row]!]!, 4);
        expect(argmax[row]).toBe(own.indexOf(top));
      }
    });
  });
});

// Sums of integers are exact, and sums of bfloat16 products have one order, so levels differ only in whether a multiply-add
// is rounded once.
test.each(dtypes)('in %s, all levels with fused multiply-adds give the same bits', async (dtype) => {
  const levels = allIsaLevels.filter((isa) => process.arch !== 'x64' || isa !== 'baseline');
  const problem = problemOf([7, 333, 129]);
  const results: Float32Array[] = [];
  for (const isa of levels) {
    const [y] = await onAllVariants(isa, (device) => {
      const [x, packed, bias] = upload(device, problem, dtype);
      return [linear(x!, packed!, bias)];
    });
    results.push(y!);
  }
  for (const result of results) expectSameBits(result, results[0]!);
});

test.each([
  ['bfloat16', 2],
  ['int8', 1 + 2 / 32],
] as const)('%s takes %d bytes per number', (dtype, bytes) => {
  using device = openDevice('cpu', { poison: true });
  using weight = device.zeros([1024, 1024]);
  const before = device.memory().live;
  using packed = packWeight(weight, dtype);
  expect(packed.size).toBe(1024 * 1024);
  expect((device.memory().live - before) / 1024 ** 2).toBeCloseTo(bytes, 3);
});

describe.each(['bfloat16', 'int8'] as const)('a weight that is packed row by row in %s', (dtype) => {
  const [rows, width] = [3 * PACKED_ROWS + 5, 40];
  const values = new Random(3).floats(rows * width);

  test.each(allIsaLevels)('is that which is packed at once, on %s', async (isa) => {
    const [together, apart, begun] = await onAllVariants(isa, (device) => {
      const weight = device.tensor(values, [rows, width]);
      const packed = packedZeros(device, [rows, width], dtype);
      packRows(packed, 2 * PACKED_ROWS, weight.view(2 * PACKED_ROWS * width, [PACKED_ROWS + 5, width]));
      const first = rowsOf(packed);
      packRows(packed, 0, weight.view(0, [2 * PACKED_ROWS, width]));
      return [rowsOf(packWeight(weight, dtype)), rowsOf(packed), first];
    });
    expectSameBits(apart!, together!);
    // Rows that were not packed yet are zeros.
    expect(begun!.subarray(0, 2 * PACKED_ROWS * width).every((each) => each === 0)).toBe(true);
  });

  test('is refused if the rows do not fit', () => {
    using device = openDevice('cpu', { poison: true });
    const packed = packedZeros(device, [rows, width], dtype);
    const some = (count: number, columns = width) => device.zeros([count, columns]);
    const cases: [number, Tensor, string[]][] = [
      [0, some(PACKED_ROWS, width + 1), ['rows is [64, 41]', '[197, 40]']],
      [3 * PACKED_ROWS, some(6), ['rows is [6, 40]', '[5, 40]']],
    ];
    for (const [first, given, parts] of cases) {
      expect(() => packRows(packed, first, given)).toThrow(
        foretokenError('SHAPE_MISMATCH', 'packRows:', ...parts),
      );
    }
    for (const [first, count] of [
      [1, PACKED_ROWS],
      [0, 5],
      [PACKED_ROWS, PACKED_ROWS + 1],
    ] as const) {
      expect(() => packRows(packed, first, some(count))).toThrow(
        foretokenError('INVALID_ARGUMENT', 'multiples of 64'),
      );
    }
    for (const first of [-64, rows + 1, 0.5, NaN]) {
      expect(() => packRows(packed, first, some(PACKED_ROWS))).toThrow(
        foretokenError('INVALID_ARGUMENT', 'firstRow'),
      );
    }
    const code = dtype === 'int8' ? 'DTYPE_MISMATCH' : 'UNSUPPORTED';
    expect(() => packRows(packed, 0, packed)).toThrow(foretokenError(code, 'packRows: rows'));
    expect(() => packRows(packed, 0, packWeight(some(PACKED_ROWS)))).toThrow(
      foretokenError('UNSUPPORTED', 'rows'),
    );
    expect(() => packRows(some(PACKED_ROWS), 0, some(PACKED_ROWS))).toThrow(
      foretokenError('INVALID_ARGUMENT', 'packed is not packed'),
    );
    expect(() => packedZeros(device, [2, 3, 4], dtype)).toThrow(
      foretokenError('SHAPE_MISMATCH', 'packedZeros: shape'),
    );
    using gpu = openDevice('cuda-emulated');
    expect(() => packedZeros(gpu, [2, 3], dtype)).toThrow(
      foretokenError('UNSUPPORTED', 'packedZeros: dtype', 'cuda'),
    );
  });
});

describe('a packed weight is refused', () => {
  const device = openDevice('cpu', { poison: true });
  const weight = device.zeros([5, 3]);
  const packed = packWeight(weight, 'int8');
  const x = device.zeros([2, 3]);
  afterAll(() => device.dispose());

  test('if gradients are wanted', () => {
    const loss = (): unknown =>
      linearCrossEntropy(device.zeros([2, 3]).requireGrad(), packed, device.tensor(Int32Array.of(0, 1)));
    expect(loss).toThrow(foretokenError('UNSUPPORTED', 'linearCrossEntropy: weight is packed'));
    expect(() => native.linearBackwardInput(device.zeros([2, 5]).handle, packed.handle)).toThrow(
      foretokenError('UNSUPPORTED', 'linearBackwardInput: weight is a packed weight'),
    );
  });

  test('as anything except a weight', async () => {
    expect(() => linear(packed, weight)).toThrow(foretokenError('UNSUPPORTED', 'linear: x is a packed'));
    expect(() => packed.cast('float32')).toThrow(foretokenError('UNSUPPORTED', 'cast'));
    expect(() => x.cast('int8')).toThrow(foretokenError('INVALID_ARGUMENT', 'cast: dtype must be'));
    expect(() => device.zeros([2], 'int8')).toThrow(foretokenError('INVALID_ARGUMENT', 'dtype must be'));
    expect(() => packWeight(packed)).toThrow(foretokenError('DTYPE_MISMATCH', 'packWeight: weight', 'int8'));
    await expect((async () => packed.data())()).rejects.toThrow(foretokenError('UNSUPPORTED', 'packed'));
  });

  test('in types other than bfloat16 and int8', () => {
    for (const dtype of ['int4', 'float32', 8, {}]) {
      expect(() => packWeight(weight, dtype as 'int8')).toThrow(
        foretokenError('INVALID_ARGUMENT', 'packWeight: dtype must be'),
      );
    }
  });

  test('on a device that does not multiply in its type', () => {
    using gpu = openDevice('cuda-emulated');
    using there = gpu.zeros([5, 3]);
    expect(() => packWeight(there, 'int8')).toThrow(
      foretokenError('UNSUPPORTED', 'packWeight: dtype is int8, but this device (cuda)'),
    );
  });
});
