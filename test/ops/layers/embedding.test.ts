import { native } from '../../../lib/native/load';
import { embedding } from '../../../lib/tensor/ops/layers/embedding';
import { expectSameBits } from '../../support/accuracy';
import { onCpu, onDeviceOnly } from '../../support/cpu';
import { bfloat16Targets, onAllVariants, onDevice, targets } from '../../support/devices';
import { foretokenError } from '../../support/errors';
import { checkGradients } from '../../support/gradcheck';
import { encode, nearest, representable, tensorOf } from '../../support/half';
import { Random } from '../../support/random';

const shapes = [
  [1, 1, 1],
  [3, 1, 7],
  [7, 31, 3],
  [47, 3, 47],
  [0, 5, 3],
  [300, 5, 257], // split into parts
  [70, 2000, 132],
] as const;

const random = new Random(21);

function tokensOf(count: number, vocab: number): Int32Array {
  return Int32Array.from({ length: count }, () => random.integer(vocab));
}

/** Adds the rows of `upstream` to `before` in row order; float32 on the host gives the bits of the kernel. */
function gradientOf(
  before: Float32Array,
  tokens: Int32Array,
  upstream: Float32Array,
  dim: number,
): Float32Array {
  const gradient = before.slice();
  upstream.forEach((value, i) => {
    gradient[tokens[Math.floor(i / dim)]! * dim + (i % dim)]! += value;
  });
  return gradient;
}

function rowsOf(weight: Float32Array, tokens: Int32Array, dim: number): Float32Array {
  return Float32Array.from(
    { length: tokens.length * dim },
    (_, i) => weight[tokens[Math.floor(i / dim)]! * dim + (i % dim)]!,
  );
}

describe.each(targets)('%s', (target) => {
  test.each(shapes)('%i tokens of a vocabulary of %i in %i dimensions', async (count, vocab, dim) => {
    const [tokens, weight, upstream] = [
      tokensOf(count, vocab),
      random.floats(vocab * dim),
      random.floats(count * dim),
    ];
    const before = random.floats(vocab * dim);
    const [out, gradient] = await onAllVariants(target, (device) => {
      const index = device.tensor(tokens);
      const grad = device.tensor(before, [vocab, dim]);
      native.embeddingBackward(index.handle, device.tensor(upstream, [count, dim]).handle, grad.handle);
      return [embedding(index, device.tensor(weight, [vocab, dim])), grad];
    });
    expectSameBits(out!, rowsOf(weight, tokens, dim));
    expectSameBits(gradient!, gradientOf(before, tokens, upstream, dim));
  });

  test('the gradient of tokens that occur once, often, and nearly always', async () => {
    const [count, vocab, dim] = [700, 50, 20];
    const tokens = Int32Array.from({ length: count }, (_, i) => {
      if (random.next() < 0.7) return 7;
      return random.next() < 0.5 ? 11 : i % vocab;
    });
    const [before, upstream] = [random.floats(vocab * dim), random.floats(count * dim)];
    const [gradient] = await onAllVariants(target, (device) => {
      const grad = device.tensor(before, [vocab, dim]);
      native.embeddingBackward(
        device.tensor(tokens).handle,
        device.tensor(upstream, [count, dim]).handle,
        grad.handle,
      );
      return [grad];
    });
    expectSameBits(gradient!, gradientOf(before, tokens, upstream, dim));
  });

  test.each(['bfloat16', 'float16'] as const)('a table of %s', async (dtype) => {
    const weight = representable(random.floats(5 * 31), dtype);
    const tokens = tokensOf(7, 5);
    const [out] = await onAllVariants(target, (device) => [
      embedding(device.tensor(tokens), device.tensor(encode(weight, dtype), [5, 31], dtype)),
    ]);
    expectSameBits(out!, rowsOf(weight, tokens, 31));
  });

  test('the gradient of tokens that occur as often as a warp has lanes, or nearly so', async () => {
    const dim = 8;
    const tokens = Int32Array.from(
      [31, 32, 33, 34, 64, 65].flatMap((times, token) => new Array<number>(times).fill(token)),
    );
    const upstream = random.floats(tokens.length * dim);
    const [gradient] = await onAllVariants(target, (device) => {
      const grad = device.tensor(new Float32Array(6 * dim), [6, dim]);
      const given = device.tensor(upstream, [tokens.length, dim]);
      native.embeddingBackward(device.tensor(tokens).handle, given.handle, grad.handle);
      return [grad];
    });
    expectSameBits(gradient!, gradientOf(new Float32Array(6 * dim), tokens, upstream, dim));
  });

  test('gradient, with tokens that occur twice', async () => {
    await onDevice(target, async (device) => {
      using tokens = device.tensor(Int32Array.of(3, 0, 3, 4), [2, 2]);
      await checkGradients(device, [{ data: random.floats(15), shape: [5, 3] }], (weight) =>
        embedding(tokens, weight),
      );
    });
  });

  test.each([-1, 5, 2 ** 31 - 1, -(2 ** 31)])('token %i of 5 is refused', async (bad) => {
    await onDevice(target, async (device) => {
      using weight = device.zeros([5, 3]);
      const indices = [4, bad, 0];
      const refusal = foretokenError('INDEX_OUT_OF_RANGE', 'embedding: tokens[1]', String(bad), '0 … 4');
      expect(() => embedding(device.tensor(Int32Array.from(indices)), weight)).toThrow(refusal);
      await expect(embedding(onDeviceOnly(device, indices), weight).data()).rejects.toThrow(refusal);

      using grad = device.zeros([5, 3]);
      using upstream = device.empty([3, 3]).fill(1);
      native.embeddingBackward(onDeviceOnly(device, indices).handle, upstream.handle, grad.handle);
      await expect(device.synchronize()).rejects.toThrow(refusal);
      // The error is reported once; then the stream goes on.
      expect(await grad.data()).toEqual(new Float32Array(15));
    });
  });
});

describe.each(bfloat16Targets)('in bfloat16 on %s', (target) => {
  test.each(shapes)('%i tokens of a vocabulary of %i in %i dimensions', async (count, vocab, dim) => {
    const tokens = tokensOf(count, vocab);
    const weight = random.floats(vocab * dim);
    const upstream = representable(random.floats(count * dim), 'bfloat16');
    const before = random.floats(vocab * dim);
    const dtypes = ['float32', 'bfloat16', 'float16'] as const;
    const held = dtypes.map((dtype) => (dtype === 'float32' ? weight : representable(weight, dtype)));
    const [gradient, ...outs] = await onAllVariants(target, (device) => {
      const index = device.tensor(tokens);
      const grad = device.tensor(before, [vocab, dim]);
      native.embeddingBackward(
        index.handle,
        tensorOf(device, upstream, [count, dim], 'bfloat16').handle,
        grad.handle,
      );
      const looked = dtypes.map((dtype, i) =>
        embedding(index, tensorOf(device, held[i]!, [vocab, dim], dtype), 'bfloat16'),
      );
      return [grad, ...looked.map((out) => out.cast('float32'))];
    });
    expectSameBits(gradient!, gradientOf(before, tokens, upstream, dim));
    for (const [i, out] of outs.entries()) {
      expectSameBits(
        out,
        rowsOf(held[i]!, tokens, dim).map((value) => nearest(value, 'bfloat16')),
      );
    }
  });
});

test("the host's copy of indices follows every write", async () => {
  await onCpu({}, async (device) => {
    const weight = device.tensor(Float32Array.of(10, 11, 12), [3, 1]);
    const tokens = device.tensor(Int32Array.of(0, 9, 1, 2));
    const alias = tokens.detach();
    expect(() => embedding(alias, weight)).toThrow(foretokenError('INDEX_OUT_OF_RANGE', 'tokens[1] is 9'));
    // A view checks only its own part.
    expect(await embedding(tokens.view(2, [2]), weight).data()).toEqual(Float32Array.of(11, 12));
    tokens.view(1, [1]).write(Int32Array.of(2));
    expect(await embedding(alias, weight).data()).toEqual(Float32Array.of(10, 12, 11, 12));
    alias.view(3, [1]).write(Int32Array.of(7));
    expect(() => embedding(tokens, weight)).toThrow(foretokenError('INDEX_OUT_OF_RANGE', 'tokens[3] is 7'));
    tokens.view(0, [4]).copyFrom(onDeviceOnly(device, [1, 1, 1, 1]));
    expect(await embedding(alias, weight).data()).toEqual(Float32Array.of(11, 11, 11, 11));
  });
});

test('shapes and dtypes', async () => {
  await onCpu({}, async (device) => {
    const [tokens, weight] = [device.tensor(Int32Array.of(1, 0), [2, 1, 1]), device.zeros([2, 3])];
    expect(embedding(tokens, weight).shape).toEqual([2, 1, 1, 3]);
    expect(() => embedding(weight, weight)).toThrow(foretokenError('DTYPE_MISMATCH', 'tokens must be int32'));
    expect(() => embedding(tokens, tokens)).toThrow(
      foretokenError('DTYPE_MISMATCH', 'weight must be float32, bfloat16 or float16'),
    );
    expect(() => embedding(tokens, device.zeros([3]))).toThrow(
      foretokenError('SHAPE_MISMATCH', 'weight is [3]'),
    );
    await device.synchronize();
  });
});
