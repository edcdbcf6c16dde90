// Weights in int8, and what is multiplied with them, against the definition; on every level, as each has instructions of
// its own for them.
import { native } from '../../lib/native/load';
import { openDevice, type Device } from '../../lib/tensor/device';
import { embedding } from '../../lib/tensor/ops/embedding';
import { linear, packWeight } from '../../lib/tensor/ops/linear';
import { linearCrossEntropy } from '../../lib/tensor/ops/linear-cross-entropy';
import { linearSample, sampleLogits } from '../../lib/tensor/ops/sampling';
import { uploadTrees } from '../../lib/tensor/ops/tree-rows';
import { readPaths, verifyTree } from '../../lib/tensor/ops/verify-tree';
import type { Tensor } from '../../lib/tensor/tensor';
import { exact, expectAsGoodAsFloat32, expectSameBits, float32 } from '../support/accuracy';
import { allIsaLevels, take } from '../support/cpu';
import { onAllVariants, onDevice } from '../support/devices';
import { takeIndices } from '../support/draws';
import { foretokenError } from '../support/errors';
import { representable, tensorOf } from '../support/half';
import { dequantize, multiply, quantizeRows, quantizeWeights } from '../support/int8';
import { Random } from '../support/random';

/** Rows, inputs and outputs. */
const shapes = [
  [1, 1, 1],
  [3, 31, 5],
  [2, 32, 17],
  [13, 33, 65],
  [5, 100, 16],
  [12, 64, 32],
  [29, 96, 70],
  [700, 800, 3], // several blocks of rows
  [14, 24_001, 3],
  [0, 3, 5],
] as const;

interface Problem {
  shape: readonly [number, number, number];
  x: Float32Array;
  weight: Float32Array;
  bias: Float32Array;
}

/** Rows and groups of very different sizes. */
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

function upload(device: Device, { shape: [rows, inputs, outputs], x, weight, bias }: Problem): Tensor[] {
  return [
    device.tensor(x, [rows, inputs]),
    packWeight(device.tensor(weight, [outputs, inputs]), 'int8'),
    device.tensor(bias),
  ];
}

/** All rows of a weight in int8, as it holds them. */
function rowsOf(packed: Tensor): Tensor {
  const tokens = Int32Array.from({ length: packed.shape[0]! }, (_, token) => token);
  return embedding(packed.device.tensor(tokens), packed);
}

describe.each(allIsaLevels)('%s', (isa) => {
  test.each(shapes)('%i rows, %i inputs, %i outputs', async (...shape) => {
    const problem = problemOf(shape);
    const [y, held] = await onAllVariants(isa, (device) => {
      const [x, packed, bias] = upload(device, problem);
      expect([packed!.dtype, packed!.shape]).toEqual(['int8', [shape[2], shape[1]]]);
      return [linear(x!, packed!, bias), rowsOf(packed!)];
    });
    const [x, w] = [quantizeRows(problem.x, shape[1]), quantizeWeights(problem.weight, shape[1])];
    expectSameBits(held!, Float32Array.from(dequantize(w, shape[1])));
    const withBias = (round: typeof exact): Float64Array =>
      multiply(x, w, shape[1], round).map((sum, i) => round(sum + problem.bias[i % shape[2]]!));
    expectAsGoodAsFloat32(y!, withBias(exact), withBias(float32));
  });

  test.each(['bfloat16', 'float16'] as const)('of a weight in %s', async (dtype) => {
    const [inputs, outputs] = [45, 37];
    const weight = representable(new Random(5).floats(outputs * inputs), dtype);
    const [held] = await onAllVariants(isa, (device) => [
      rowsOf(packWeight(tensorOf(device, weight, [outputs, inputs], dtype), 'int8')),
    ]);
    expectSameBits(held!, Float32Array.from(dequantize(quantizeWeights(weight, inputs), inputs)));
  });

  test('a row has the same bits whatever rows stand beside it', async () => {
    const problem = problemOf([40, 77, 35]);
    const some = [0, 13, 39];
    const [together, ...alone] = await onAllVariants(isa, (device) => {
      const [x, packed] = upload(device, problem);
      return [linear(x!, packed!), ...some.map((row) => linear(x!.view(row * 77, [1, 77]), packed!))];
    });
    some.forEach((row, i) => expectSameBits(alone[i]!, together!.slice(row * 35, (row + 1) * 35)));
  });

  // A group of zeros, of numbers too small for a scale, and of the largest ones; then of such as are none.
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
      return [rowsOf(packWeight(all, 'int8')), linear(all, packWeight(ones, 'int8'))];
    });
    const expected = rows.flatMap((row) => [...dequantize(quantizeWeights(row, inputs), inputs)]);
    expect([...held!]).toEqual([...Float32Array.from(expected)]);
    expect([...held!].map(Number.isNaN).filter(Boolean)).toHaveLength(3 * 32);
    const sums = [...y!];
    expect(sums.slice(1, 4)).toEqual([NaN, NaN, NaN]);
    expect(sums[4]).toBeCloseTo(
      small.reduce((sum, value) => sum + value, 0),
      2,
    );
  });

  test('numbers too small for a scale are 0', async () => {
    const tiny = Float32Array.of(1e-37, -2e-37, 1e-38, 1e-40, 1e-37);
    const [held, y] = await onAllVariants(isa, (device) => {
      const [small, ones] = [tiny, new Float32Array(5).fill(1)].map((row) => device.tensor(row, [1, 5]));
      return [rowsOf(packWeight(small!, 'int8')), linear(small!, packWeight(ones!, 'int8'))];
    });
    expect([...held!, ...y!]).toEqual([0, 0, 0, 0, 0, 0]);
  });

  test('draws, trees and losses read the same logits', async () => {
    const [rows, inputs, vocab] = [9, 70, 601];
    const problem = problemOf([rows, inputs, vocab]);
    await onDevice(isa, async (device) => {
      const [x, packed, bias] = upload(device, problem);
      const positions = device.tensor(Int32Array.from({ length: rows }, (_, row) => row + 1));
      const logits = linear(x!, packed!, bias);
      for (const temperature of [0, 0.8]) {
        const options = { temperature, seed: 3n };
        const drawn = await takeIndices(sampleLogits(logits, positions, options));
        const fused = linearSample(x!, packed!, { bias: bias!, positions, ...options });
        expect(await takeIndices(fused)).toEqual(drawn);
        // A chain of what is drawn is accepted to its end, at the same positions.
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

// Sums within a group are exact, so that levels differ in nothing but whether a multiply-add is rounded once.
test('levels with multiply-adds have the same bits', async () => {
  const levels = allIsaLevels.filter((isa) => process.arch !== 'x64' || isa !== 'baseline');
  const problem = problemOf([7, 333, 129]);
  const results: Float32Array[] = [];
  for (const isa of levels) {
    const [y] = await onAllVariants(isa, (device) => {
      const [x, packed, bias] = upload(device, problem);
      return [linear(x!, packed!, bias)];
    });
    results.push(y!);
  }
  for (const result of results) expectSameBits(result, results[0]!);
});

test('takes little more than a quarter of the memory of float32', () => {
  using device = openDevice('cpu');
  using weight = device.zeros([1024, 1024]);
  const before = device.memory().live;
  using packed = packWeight(weight, 'int8');
  expect(packed.size).toBe(1024 * 1024);
  expect((device.memory().live - before) / 1024 ** 2).toBeCloseTo(1 + 2 / 32, 3);
});

describe('is refused', () => {
  const device = openDevice('cpu');
  const weight = device.zeros([5, 3]);
  const packed = packWeight(weight, 'int8');
  const x = device.zeros([2, 3]);
  afterAll(() => device.dispose());

  test('where gradients are wanted', () => {
    const loss = (): unknown =>
      linearCrossEntropy(device.zeros([2, 3]).requireGrad(), packed, device.tensor(Int32Array.of(0, 1)));
    expect(loss).toThrow(foretokenError('UNSUPPORTED', 'linearCrossEntropy: weight is packed'));
    expect(() => native.linearBackwardInput(device.zeros([2, 5]).handle, packed.handle)).toThrow(
      foretokenError('UNSUPPORTED', 'linearBackwardInput: weight is a packed weight'),
    );
  });

  test('as anything but a weight', async () => {
    expect(() => linear(packed, weight)).toThrow(foretokenError('UNSUPPORTED', 'linear: x is a packed'));
    expect(() => packed.cast('float32')).toThrow(foretokenError('UNSUPPORTED', 'cast'));
    expect(() => x.cast('int8')).toThrow(foretokenError('INVALID_ARGUMENT', 'cast: dtype must be'));
    expect(() => device.zeros([2], 'int8')).toThrow(foretokenError('INVALID_ARGUMENT', 'dtype must be'));
    expect(() => packWeight(packed)).toThrow(foretokenError('DTYPE_MISMATCH', 'packWeight: weight', 'int8'));
    await expect((async () => packed.data())()).rejects.toThrow(foretokenError('UNSUPPORTED', 'packed'));
  });

  test('in the name of other types', () => {
    for (const dtype of ['int4', 'float32', 8, {}]) {
      expect(() => packWeight(weight, dtype as 'int8')).toThrow(
        foretokenError('INVALID_ARGUMENT', 'packWeight: dtype must be'),
      );
    }
  });

  test('on a device that does not multiply with it', () => {
    using gpu = openDevice('cuda-emulated');
    using there = gpu.zeros([5, 3]);
    expect(() => packWeight(there, 'int8')).toThrow(
      foretokenError('UNSUPPORTED', 'packWeight: dtype is int8, but this device (cuda)'),
    );
  });
});
