import { native } from '../../lib/native/load';
import { noGrad } from '../../lib/tensor/autograd';
import type { Device } from '../../lib/tensor/device';
import { attention, type AttentionShape } from '../../lib/tensor/ops/attention';
import { scope } from '../../lib/tensor/scope';
import { Tensor } from '../../lib/tensor/tensor';
import {
  exact,
  expectAsGoodAsFloat32,
  expectSameBits,
  expectWithinRoundings,
  float32,
  type Rounding,
} from '../support/accuracy';
import { isaLevels, onCpu, onDeviceOnly, take } from '../support/cpu';
import { foretokenError } from '../support/errors';
import { Random } from '../support/random';

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

/** The definition, row by row. */
function reference(problem: Problem, round: Rounding): { out: Float64Array; gradQkv: Float64Array } {
  const { batch, length, qkv, starts, gradOut } = problem;
  const { heads, kvHeads, headDim, scale } = problem.shape;
  const [width, outWidth] = [rowWidth(problem.shape), heads * headDim];
  const out = new Float64Array(batch * length * outWidth);
  const gradQkv = new Float64Array(qkv.length);
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
    const first = row - (row % length) + starts[row]!;
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
      }
      for (let i = 0; i < weights.length; i++) {
        weights[i] = round(weights[i]! / sum);
        add(out, at, weights[i]!, qkv, value(first + i));
      }
      const delta = dot(gradOut, at, out, at);
      for (const [i, weight] of weights.entries()) {
        const j = first + i;
        const gradScore = round(weight * round(dot(gradOut, at, qkv, value(j)) - delta) * scale);
        add(gradQkv, value(j), weight, gradOut, at);
        add(gradQkv, key(j), gradScore, qkv, query);
        add(gradQkv, query, gradScore, qkv, key(j));
      }
    }
  }
  return { out, gradQkv };
}

interface Result {
  out: Float32Array;
  gradQkv: Float32Array;
}

async function compute(device: Device, problem: Problem): Promise<Result> {
  const { batch, length, shape, starts } = problem;
  using qkv = device.tensor(problem.qkv, [batch * length, rowWidth(shape)]).requireGrad();
  const out = scope(() => {
    const result = attention(qkv, device.tensor(starts), batch, shape);
    result.backward(device.tensor(problem.gradOut, result.shape));
    return result;
  });
  return { out: await take(out), gradQkv: await take(qkv.grad!) };
}

// [batch, length, heads, kvHeads, headDim]: every ratio of heads, odd dimensions, lengths around the blocks.
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

describe.each(isaLevels)('attention on %s', (isa) => {
  it.each(cases)('batch %d, length %d, %d/%d heads of %d', async (...dims) => {
    const problem = problemOf(...dims);
    const [oracle, plain] = [reference(problem, exact), reference(problem, float32)];
    const actual = await onCpu({ isa, threads: 2 }, (device) => compute(device, problem));
    expectAsGoodAsFloat32(actual.out, oracle.out, plain.out);
    expectAsGoodAsFloat32(actual.gradQkv, oracle.gradQkv, plain.gradQkv);
  });

  it('gives the same bits on any number of threads', async () => {
    const problem = problemOf(3, 47, 4, 2, 12);
    const [one, two, three] = await Promise.all(
      [1, 2, 3].map((threads) => onCpu({ isa, threads }, (device) => compute(device, problem))),
    );
    for (const other of [two!, three!]) {
      expectSameBits(other.out, one!.out);
      expectSameBits(other.gradQkv, one!.gradQkv);
    }
  });

  it('looks neither ahead nor into another document', async () => {
    const problem = problemOf(1, 60, 2, 1, 12);
    problem.starts.fill(0, 0, 20).fill(20, 20, 60);
    const width = rowWidth(problem.shape);
    const changed = { ...problem, qkv: problem.qkv.slice(), gradOut: problem.gradOut.slice() };
    // Rows 20 … 39 are what must stay: their document's start, cut off from what is before and behind.
    for (let i = 0; i < changed.qkv.length; i++) {
      const row = Math.floor(i / width);
      if (row < 20 || row >= 40) changed.qkv[i] = 100 - changed.qkv[i]!;
    }
    await onCpu({ isa }, async (device) => {
      const [before, after] = [await compute(device, problem), await compute(device, changed)];
      expectSameBits(after.out.slice(20 * 24, 40 * 24), before.out.slice(20 * 24, 40 * 24));
      expect(after.out.slice(0, 24)).not.toEqual(before.out.slice(0, 24));
    });
  });

  it('begins a document at any place of a block', async () => {
    await onCpu({ isa }, async (device) => {
      for (let cut = 0; cut < 50; cut++) {
        const problem = problemOf(1, 51, 1, 1, 5);
        problem.starts.fill(0, 0, cut).fill(cut, cut, 51);
        const [oracle, plain] = [reference(problem, exact), reference(problem, float32)];
        const actual = await compute(device, problem);
        expectAsGoodAsFloat32(actual.out, oracle.out, plain.out);
        expectAsGoodAsFloat32(actual.gradQkv, oracle.gradQkv, plain.gradQkv);
      }
    });
  });

  it('is stable where exponentials are not', async () => {
    const problem = problemOf(1, 33, 2, 2, 8);
    problem.qkv = problem.qkv.map((x) => 20 * x);
    const [oracle, plain] = [reference(problem, exact), reference(problem, float32)];
    const actual = await onCpu({ isa }, (device) => compute(device, problem));
    expectAsGoodAsFloat32(actual.out, oracle.out, plain.out);
    expectAsGoodAsFloat32(actual.gradQkv, oracle.gradQkv, plain.gradQkv);
  });

  // Equal scores of 0 leave nothing but the logarithm of how many there are.
  it('gives the backward pass denominators as good as log is said to be', async () => {
    const length = 1500;
    await onCpu({ isa }, async (device) => {
      using qkv = device.zeros([length, 3]);
      using starts = device.tensor(new Int32Array(length));
      const [out, lse] = native.attention(qkv.handle, starts.handle, 1, 1, 1, 1, 1);
      new Tensor(device, out).dispose();
      const counts = Float64Array.from({ length }, (_, row) => Math.log(row + 1));
      expectWithinRoundings(await take(new Tensor(device, lse)), counts, 2);
    });
  });

  it.each(['host', 'device'])(
    'refuses a document that starts behind its row, known to the %s',
    async (where) => {
      await onCpu({ isa }, async (device) => {
        using qkv = device.zeros([6, 6]);
        const [starts, shape] = [[0, 0, 0, 0, 2, 0], { heads: 1, kvHeads: 1, headDim: 2, scale: 1 }];
        using index =
          where === 'host' ? device.tensor(Int32Array.from(starts)) : onDeviceOnly(device, starts);
        const run = async (): Promise<Float32Array> => take(attention(qkv, index, 2, shape));
        await expect(run()).rejects.toEqual(
          foretokenError('INDEX_OUT_OF_RANGE', 'attention', 'starts[4] is 2', '0 … 1'),
        );
        index.write(new Int32Array(6));
        expect(await run()).toEqual(new Float32Array(12));
      });
    },
  );
});

it('the gradient of the reference is that of finite differences', () => {
  const problem = problemOf(2, 6, 4, 2, 3);
  const { gradQkv } = reference(problem, exact);
  const objective = (qkv: Float64Array): number => {
    const { out } = reference({ ...problem, qkv: qkv as unknown as Float32Array }, exact);
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
  it('leaves nothing behind', async () => {
    await onCpu({}, async (device) => {
      const problem = problemOf(2, 20, 2, 1, 8);
      using qkv = device.tensor(problem.qkv, [40, 32]);
      using starts = device.tensor(problem.starts);
      const before = native.liveTensors();
      noGrad(() => attention(qkv, starts, 2, problem.shape)).dispose();
      expect(native.liveTensors()).toBe(before);
      await compute(device, problem);
      expect(native.liveTensors()).toBe(before);
    });
  });

  it('of no rows is empty', async () => {
    await onCpu({}, async (device) => {
      using qkv = device.zeros([0, 12]);
      using starts = device.tensor(new Int32Array(0));
      const out = attention(qkv, starts, 3, { heads: 2, kvHeads: 1, headDim: 3, scale: 1 });
      expect(out.shape).toEqual([0, 6]);
      expect(await take(out)).toHaveLength(0);
    });
  });

  it('names what does not fit', async () => {
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
      expect(attempt(2, { heads: 2 ** 53 })).toThrow(mismatch('qkv is [6, 12]'));
      expect(attempt(2, { kvHeads: 2 ** 52, heads: 2 ** 53 })).toThrow(mismatch('qkv is [6, 12]'));
      expect(attempt(2, { heads: 3, kvHeads: 2 })).toThrow(invalid('heads must be a multiple of kvHeads'));
      expect(attempt(2, { kvHeads: 0 })).toThrow(invalid('kvHeads', '0'));
      expect(attempt(2, { scale: NaN })).toThrow(invalid('scale'));
      expect(() => attention(cube, starts, 2, shape)).toThrow(mismatch('qkv is [6, 12, 1]', '2 dimensions'));
      using short = device.tensor(new Int32Array(5));
      expect(() => attention(qkv, short, 2, shape)).toThrow(mismatch('starts is [5]', '[6]'));
      await device.synchronize();
    });
  });
});
