import { native } from '../../../lib/native/load';
import { noGrad } from '../../../lib/tensor/autograd';
import type { Device } from '../../../lib/tensor/device';
import { attention, type AttentionShape } from '../../../lib/tensor/ops/attention/attention';
import { Tensor } from '../../../lib/tensor/tensor';
import {
  distance,
  exact,
  expectAsGoodAsFloat32,
  expectSameBits,
  expectWithinRoundings,
  float32,
  type Rounding,
} from '../../support/accuracy';
import { onCpu, onDeviceOnly, take } from '../../support/cpu';
import {
  bfloat16Targets,
  isEmulated,
  onAllVariants,
  onDevice,
  targets,
  type Target,
} from '../../support/devices';
import { foretokenError } from '../../support/errors';
import { nearest, representable, tensorOf } from '../../support/half';
import { memoize } from '../../support/memoize';
import { Random } from '../../support/random';

interface Problem {
  batch: number;
  length: number;
  shape: AttentionShape;
  qkv: Float32Array;
  starts: Int32Array;
  gradOut: Float32Array;
}

const rowWidth = ({ heads, kvHeads, headDim }: AttentionShape): number => (heads + 2 * kvHeads) * headDim;

/** Random rows, cut into documents at random. */
function problemOf(batch: number, length: number, heads: number, kvHeads: number, headDim: number): Problem {
  const random = new Random(1000 * length + headDim + heads);
  const shape = { heads, kvHeads, headDim, scale: 1 / Math.sqrt(headDim) };
  const rows = batch * length;
  const starts = new Int32Array(rows);
  for (let i = 0; i < rows; i++) {
    const t = i % length;
    starts[i] = t > 0 && random.next() > 0.05 ? starts[i - 1]! : t;
  }
  const [qkv, gradOut] = [random.floats(rows * rowWidth(shape), 2), random.floats(rows * heads * headDim)];
  return { batch, length, shape, qkv, starts, gradOut };
}

/** Cuts the rows of every sequence into documents at these places. */
function cutAt(problem: Problem, ...cuts: readonly number[]): void {
  problem.starts.forEach((_, i) => {
    problem.starts[i] = Math.max(0, ...cuts.filter((cut) => cut <= i % problem.length));
  });
}

/** Plain arithmetic: how it rounds sums, and how it rounds the factors and results that it stores. */
interface Arithmetic {
  round: Rounding;
  store: Rounding;
}

const arithmetics = {
  exact: { round: exact, store: exact },
  float32: { round: float32, store: float32 },
  bfloat16: { round: float32, store: (x: number) => nearest(x, 'bfloat16') },
} satisfies Record<string, Arithmetic>;

interface Expected {
  out: Float64Array;
  gradQkv: Float64Array;
  /** The largest of the terms whose differences are the gradients of queries and keys. */
  size: number;
}

/** The definition, row by row. */
function reference(problem: Problem, { round, store }: Arithmetic): Expected {
  const { batch, length, qkv, starts, gradOut } = problem;
  const { heads, kvHeads, headDim, scale, window = Infinity } = problem.shape;
  const [width, outWidth] = [rowWidth(problem.shape), heads * headDim];
  const out = new Float64Array(batch * length * outWidth);
  const gradQkv = new Float64Array(qkv.length);
  const largestInput = distance(qkv, new Float64Array(qkv.length));
  let size = 0;
  const dot = (a: ArrayLike<number>, aFrom: number, b: ArrayLike<number>, bFrom: number): number => {
    let sum = 0;
    for (let d = 0; d < headDim; d++) sum = round(sum + round(a[aFrom + d]! * b[bFrom + d]!));
    return sum;
  };
  const add = (
    to: Float64Array,
    toFrom: number,
    factor: number,
    x: ArrayLike<number>,
    from: number,
  ): void => {
    for (let d = 0; d < headDim; d++) to[toFrom + d] = round(to[toFrom + d]! + round(factor * x[from + d]!));
  };
  for (let row = 0; row < batch * length; row++) {
    const t = row % length;
    const first = row - t + Math.max(starts[row]!, t + 1 - window);
    for (let head = 0; head < heads; head++) {
      const query = row * width + head * headDim;
      const at = row * outWidth + head * headDim;
      const key = (j: number): number => j * width + (heads + Math.floor((head * kvHeads) / heads)) * headDim;
      const value = (j: number): number => key(j) + kvHeads * headDim;
      const weights: number[] = [];
      for (let j = first; j <= row; j++) weights.push(round(scale * dot(qkv, query, qkv, key(j))));
      const largest = Math.max(...weights);
      let sum = 0;
      for (const [i, score] of weights.entries()) {
        weights[i] = round(Math.exp(score - largest));
        sum = round(sum + weights[i]);
        add(out, at, store(weights[i]), qkv, value(first + i));
      }
      for (let d = at; d < at + headDim; d++) out[d] = store(round(out[d]! / sum));
      const delta = dot(gradOut, at, out, at);
      for (let i = 0; i < weights.length; i++) {
        const [j, weight] = [first + i, round(weights[i]! / sum)];
        const gradScore = store(round(weight * round(dot(gradOut, at, qkv, value(j)) - delta)));
        size = Math.max(size, Math.abs(weight * delta * scale) * largestInput);
        add(gradQkv, value(j), store(weight), gradOut, at);
        add(gradQkv, key(j), gradScore, qkv, query);
        add(gradQkv, query, gradScore, qkv, key(j));
      }
    }
  }
  const isScaled = (i: number): boolean => i % width < width - kvHeads * headDim;
  return { out, gradQkv: gradQkv.map((x, i) => store(isScaled(i) ? round(x * scale) : x)), size };
}

const expectedOf = memoize((problem: Problem, arithmetic: keyof typeof arithmetics) =>
  reference(problem, arithmetics[arithmetic]),
);

type DType = 'float32' | 'bfloat16';

/** The same problem with inputs that the dtype can hold. */
function heldBy(dtype: DType, problem: Problem): Problem {
  if (dtype === 'float32') return problem;
  return {
    ...problem,
    qkv: representable(problem.qkv, dtype),
    gradOut: representable(problem.gradOut, dtype),
  };
}

interface Result {
  out: Float32Array;
  gradQkv: Float32Array;
}

function run(device: Device, problem: Problem, dtype: DType): Tensor[] {
  const { batch, length, shape, starts } = problem;
  const qkv = tensorOf(device, problem.qkv, [batch * length, rowWidth(shape)], dtype).requireGrad();
  const out = attention(qkv, device.tensor(starts), batch, shape);
  out.backward(tensorOf(device, problem.gradOut, out.shape, dtype));
  return [out.detach(), qkv.grad!].map((tensor) => tensor.cast('float32'));
}

/** Computes output and gradients, which must have the same bits with any number of threads and any schedule. */
async function compute(target: Target, problem: Problem, dtype: DType = 'float32'): Promise<Result> {
  const [out, gradQkv] = await onAllVariants(target, (device) => run(device, problem, dtype));
  return { out: out!, gradQkv: gradQkv! };
}

/** The numbers of the rows from … to - 1. */
function rowsOf(numbers: Float32Array, problem: Problem, from: number, to: number): Float32Array {
  const width = numbers.length / problem.length / problem.batch;
  return numbers.slice(from * width, to * width);
}

/** The gradients of queries, keys and values. */
function partsOf<T extends Float32Array | Float64Array>(gradQkv: T, { shape }: Problem): T[] {
  const keys = shape.heads * shape.headDim;
  const values = keys + shape.kvHeads * shape.headDim;
  const width = rowWidth(shape);
  const part = (from: number, to: number): T =>
    gradQkv.filter((_, i) => i % width >= from && i % width < to) as T;
  return [part(0, keys), part(keys, values), part(values, width)];
}

async function expectAccurate(target: Target, problem: Problem, dtype: DType): Promise<void> {
  const held = heldBy(dtype, problem);
  const actual = await compute(target, held, dtype);
  const [expected, allowed] = [expectedOf(held, 'exact'), expectedOf(held, dtype)];
  expectAsGoodAsFloat32(actual.out, expected.out, allowed.out);
  const size = Math.max(expected.size, distance(expected.gradQkv, new Float64Array(expected.gradQkv.length)));
  const [gradients, oracles, plains] = [actual, expected, allowed].map(({ gradQkv }) =>
    partsOf(gradQkv, problem),
  );
  gradients!.forEach((part, i) => {
    expectAsGoodAsFloat32(part, oracles![i]!, plains![i]!, size);
  });
}

// [batch, length, heads, kvHeads, headDim]: different ratios of heads, odd dimensions, lengths around the blocks.
const cases: [number, number, number, number, number][] = [
  [2, 1, 1, 1, 8],
  [2, 3, 2, 1, 12],
  [3, 7, 4, 1, 8],
  [1, 16, 2, 2, 5],
  [2, 31, 4, 2, 32],
  [2, 47, 4, 4, 64],
  [1, 65, 4, 1, 80],
  [1, 257, 2, 1, 32],
];

const ways = [
  ...targets.map((target) => [target, 'float32'] as const),
  ...bfloat16Targets.map((target) => [target, 'bfloat16'] as const),
];

describe.each(ways)('attention on %s in %s', (target, dtype) => {
  it.each(cases)('batch %d, length %d, %d/%d heads of %d', async (...dims) => {
    await expectAccurate(target, problemOf(...dims), dtype);
  });

  // Tiles have 16, 32, 64 or 128 rows, the vectors of a CPU up to 16 numbers.
  it.each([1, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 127, 128, 129])(
    'begins a document at row %d',
    async (cut) => {
      const problem = problemOf(1, 131, 1, 1, 6);
      cutAt(problem, cut);
      await expectAccurate(target, problem, dtype);
    },
  );

  it('lets a row attend to any range of rows that ends with it', async () => {
    const problem = problemOf(1, 200, 2, 1, 16);
    const random = new Random(7);
    problem.starts.forEach((_, t) => {
      problem.starts[t] = random.integer(t + 1);
    });
    await expectAccurate(target, problem, dtype);
    // Tiles of rows with near starts alternate with tiles of rows with far starts.
    problem.starts.forEach((_, t) => {
      problem.starts[t] = (t >> 4) % 3 === 0 ? 0 : t - (t % 5);
    });
    await expectAccurate(target, problem, dtype);
  });

  it.each([1, 2, 15, 16, 17, 64, 90, 131, 1000, 2 ** 31 - 1])('sees the last %d rows', async (window) => {
    const problem = problemOf(1, 131, 2, 1, 6);
    cutAt(problem, 40);
    problem.shape.window = window;
    await expectAccurate(target, problem, dtype);
  });

  it('gives a window the bits of a document that starts there', async () => {
    const problem = heldBy(dtype, problemOf(2, 150, 2, 1, 12));
    const starts = problem.starts.map((start, i) => Math.max(start, (i % 150) - 36));
    const windowed = { ...problem, shape: { ...problem.shape, window: 37 } };
    const [cut, seen] = [
      await compute(target, { ...problem, starts }, dtype),
      await compute(target, windowed, dtype),
    ];
    expectSameBits(seen.out, cut.out);
    expectSameBits(seen.gradQkv, cut.gradQkv);
  });

  it('gives a document bits that depend on no other document', async () => {
    const width = rowWidth(problemOf(1, 1, 2, 1, 12).shape);
    for (const [from, to] of [
      [20, 60],
      [63, 130],
      [64, 128],
      [65, 193],
    ] as const) {
      const problem = heldBy(dtype, problemOf(1, 200, 2, 1, 12));
      cutAt(problem, from, to);
      const changed = { ...problem, qkv: problem.qkv.slice(), starts: problem.starts.slice() };
      for (let i = 0; i < changed.qkv.length; i++) {
        const row = Math.floor(i / width);
        if (row < from || row >= to) changed.qkv[i] = -changed.qkv[(i + 3 * width) % changed.qkv.length]!;
      }
      cutAt(changed, 17, from, to, 195);
      const [before, after] = [await compute(target, problem, dtype), await compute(target, changed, dtype)];
      for (const key of ['out', 'gradQkv'] as const) {
        const [was, is] = [before, after].map((result) => rowsOf(result[key], problem, from, to));
        expectSameBits(is!, was!);
        expect(rowsOf(after[key], problem, 0, from)).not.toEqual(rowsOf(before[key], problem, 0, from));
      }
    }
  });

  it('does not look ahead', async () => {
    const problem = heldBy(dtype, problemOf(1, 140, 2, 2, 8));
    cutAt(problem);
    const { out } = await compute(target, problem, dtype);
    for (const seen of [1, 63, 64, 100]) {
      const changed = { ...problem, qkv: problem.qkv.slice() };
      changed.qkv.fill(3, seen * rowWidth(problem.shape));
      const { out: after } = await compute(target, changed, dtype);
      expectSameBits(rowsOf(after, problem, 0, seen), rowsOf(out, problem, 0, seen));
    }
  });

  it('is stable with scores whose exponentials overflow', async () => {
    const problem = problemOf(1, 73, 2, 2, 8);
    problem.qkv = problem.qkv.map((x) => 20 * x);
    await expectAccurate(target, problem, dtype);
  });

  it.each([0, -0.3])('multiplies scores by %d', async (scale) => {
    const problem = problemOf(1, 70, 2, 1, 8);
    problem.shape.scale = scale;
    await expectAccurate(target, problem, dtype);
  });

  it.each(['host', 'device'])(
    'refuses a document that starts after its row, known to the %s',
    async (where) => {
      await onDevice(target, async (device) => {
        using qkv = tensorOf(device, new Float32Array(36), [6, 6], dtype);
        const [starts, shape] = [[0, 0, 0, 0, 2, 0], { heads: 1, kvHeads: 1, headDim: 2, scale: 1 }];
        using index =
          where === 'host' ? device.tensor(Int32Array.from(starts)) : onDeviceOnly(device, starts);
        const attend = async (): Promise<Float32Array> => {
          using out = attention(qkv, index, 2, shape);
          return await take(out.cast('float32'));
        };
        await expect(attend()).rejects.toEqual(
          foretokenError('INDEX_OUT_OF_RANGE', 'attention', 'starts[4] is 2', '0 … 1'),
        );
        index.write(new Int32Array(6));
        expect(await attend()).toEqual(new Float32Array(12));
      });
    },
  );

  it.each([
    ['starts[70] is -1', -1],
    ['starts[70] is -2147483648', -(2 ** 31)],
    ['starts[70] is 2147483647', 2 ** 31 - 1],
    ['starts[70] is 71', 71],
  ])(
    'refuses bad starts in the backward pass, too, and reads no row through them: %s',
    async (message, start) => {
      const problem = problemOf(1, 150, 1, 1, 8);
      cutAt(problem);
      await onDevice(target, async (device) => {
        using qkv = tensorOf(device, heldBy(dtype, problem).qkv, [150, 24], dtype);
        using gradOut = tensorOf(device, heldBy(dtype, problem).gradOut, [150, 8], dtype);
        using lse = device.zeros([150, 1]);
        const starts = [...problem.starts];
        [starts[70], starts[100]] = [start, -5];
        using index = onDeviceOnly(device, starts);
        const refused = (op: string): Error =>
          foretokenError('INDEX_OUT_OF_RANGE', `${op}: `, message, '0 … 70');
        const attend = async (): Promise<void> => {
          noGrad(() => attention(qkv, index, 1, problem.shape)).dispose();
          await device.synchronize();
        };
        await expect(attend()).rejects.toEqual(refused('attention'));
        const differentiate = async (): Promise<void> => {
          const gradQkv = native.attentionBackward(
            ...[gradOut.handle, qkv.handle, index.handle, gradOut.handle, lse.handle],
            ...[1, 1, 1, 8, 1, 150],
          );
          new Tensor(device, gradQkv).dispose();
          await device.synchronize();
        };
        await expect(differentiate()).rejects.toEqual(refused('attentionBackward'));
      });
    },
  );
});

describe.each(targets)('attention on %s', (target) => {
  // With equal scores of 0, the result is the logarithm of the number of rows.
  it('gives the backward pass denominators as exact as log is documented to be', async () => {
    const length = isEmulated(target) ? 300 : 1500;
    await onDevice(target, async (device) => {
      using qkv = device.zeros([length, 3]);
      using starts = device.tensor(new Int32Array(length));
      const [out, lse] = native.attention(qkv.handle, starts.handle, 1, 1, 1, 1, 1, length);
      new Tensor(device, out).dispose();
      const counts = Float64Array.from({ length }, (_, row) => Math.log(row + 1));
      expectWithinRoundings(await take(new Tensor(device, lse)), counts, 2);
    });
  });

  it('of no rows gives an empty result', async () => {
    await onDevice(target, async (device) => {
      using qkv = device.zeros([0, 12]);
      using starts = device.tensor(new Int32Array(0));
      const out = attention(qkv, starts, 3, { heads: 2, kvHeads: 1, headDim: 3, scale: 1 });
      expect(out.shape).toEqual([0, 6]);
      expect(await take(out)).toHaveLength(0);
    });
  });
});

// Every width of tiles, rows that are and are not multiples of 16 bytes, and tiles wider than a head.
describe.each(ways.filter(([target]) => target.startsWith('cuda')))(
  'wide heads on %s in %s',
  (target, dtype) => {
    it.each([
      [2, 2, 2],
      [4, 1, 16],
      [1, 1, 33],
      [2, 2, 48],
      [2, 1, 64],
      [2, 1, 95],
      [1, 1, 96],
      [2, 2, 128],
      [1, 1, 200],
      [1, 1, 256],
    ])('%d/%d heads of %d', async (...dims) => {
      const problem = problemOf(1, dims[2] > 64 ? 69 : 130, ...dims);
      cutAt(problem, 50);
      await expectAccurate(target, problem, dtype);
    });

    it('are refused if they are wider than tiles', async () => {
      const problem = problemOf(1, 1, 1, 1, 257);
      await expect(compute(target, problem, dtype)).rejects.toEqual(
        foretokenError('UNSUPPORTED', 'attention: ', '257 dimensions', 'at most', '256'),
      );
    });
  },
);

it('the gradient of the reference equals finite differences', () => {
  const problem = problemOf(2, 6, 4, 2, 3);
  const { gradQkv } = reference(problem, arithmetics.exact);
  const objective = (qkv: Float64Array): number => {
    const { out } = reference({ ...problem, qkv: qkv as unknown as Float32Array }, arithmetics.exact);
    return out.reduce((sum, x, i) => sum + x * problem.gradOut[i]!, 0);
  };
  const at = Float64Array.from(problem.qkv);
  for (let i = 0; i < at.length; i++) {
    const [x, step] = [at[i]!, 1e-5];
    at[i] = x + step;
    const above = objective(at);
    at[i] = x - step;
    const slope = (above - objective(at)) / (2 * step);
    at[i] = x;
    expect(Math.abs(slope - gradQkv[i]!)).toBeLessThan(1e-8);
  }
});

describe('attention', () => {
  it('leaves no tensor behind without gradients', async () => {
    await onCpu({}, async (device) => {
      const problem = problemOf(2, 20, 2, 1, 8);
      using qkv = device.tensor(problem.qkv, [40, 32]);
      using starts = device.tensor(problem.starts);
      const before = native.liveTensors();
      noGrad(() => attention(qkv, starts, 2, problem.shape)).dispose();
      expect(native.liveTensors()).toBe(before);
      await device.synchronize();
    });
  });

  it('names arguments that do not match', async () => {
    await onCpu({}, async (device) => {
      using cube = device.zeros([6, 12, 1]);
      using qkv = device.zeros([6, 12]);
      using starts = device.tensor(new Int32Array(6));
      const shape = { heads: 2, kvHeads: 1, headDim: 3, scale: 1 };
      const attempt = (batch: number, change: Partial<AttentionShape>) => (): unknown =>
        attention(qkv, starts, batch, { ...shape, ...change });
      const mismatch = (...parts: string[]): Error =>
        foretokenError('SHAPE_MISMATCH', 'attention: ', ...parts);
      const invalid = (...parts: string[]): Error =>
        foretokenError('INVALID_ARGUMENT', 'attention: ', ...parts);
      expect(attempt(4, {})).toThrow(mismatch('qkv is [6, 12]', 'batch', '4'));
      expect(attempt(0, {})).toThrow(invalid('batch', '0'));
      expect(attempt(2, { headDim: 4 })).toThrow(
        mismatch('qkv is [6, 12]', '2 query, 1 key', '4 dimensions'),
      );
      const most = 2 ** 31 - 1;
      expect(attempt(2, { heads: most, headDim: most })).toThrow(mismatch('qkv is [6, 12]'));
      expect(attempt(2, { heads: most, kvHeads: most })).toThrow(mismatch('qkv is [6, 12]'));
      expect(attempt(2, { heads: 2 ** 53 })).toThrow(invalid('heads', String(most), String(2 ** 53)));
      expect(attempt(2, { heads: 3, kvHeads: 2 })).toThrow(invalid('heads must be a multiple of kvHeads'));
      expect(attempt(2, { kvHeads: 0 })).toThrow(invalid('kvHeads', '0'));
      expect(attempt(2, { scale: NaN })).toThrow(invalid('scale'));
      expect(attempt(2, { window: 0 })).toThrow(invalid('window', '0'));
      expect(attempt(2, { window: 2 ** 31 })).toThrow(invalid('window', String(most), String(2 ** 31)));
      expect(() => attention(cube, starts, 2, shape)).toThrow(mismatch('qkv is [6, 12, 1]', '2 dimensions'));
      using short = device.tensor(new Int32Array(5));
      expect(() => attention(qkv, short, 2, shape)).toThrow(mismatch('starts is [5]', '[6]'));
      await device.synchronize();
    });
  });
});
