import { native } from '../../lib/native/load';
import { embedding } from '../../lib/tensor/ops/embedding';
import { expectSameBits } from '../support/accuracy';
import { isaLevels, onCpu, onDeviceOnly } from '../support/cpu';
import { foretokenError } from '../support/errors';
import { checkGradients } from '../support/gradcheck';
import { encode, representable } from '../support/half';
import { Random } from '../support/random';
import { onAllThreadCounts } from '../support/thread-counts';

const shapes = [
  [1, 1, 1],
  [3, 1, 7],
  [7, 31, 3],
  [47, 3, 47],
  [0, 5, 3],
  [300, 5, 257], // cut into parts
] as const;

const random = new Random(21);

function tokensOf(count: number, vocab: number): Int32Array {
  return Int32Array.from({ length: count }, () => random.integer(vocab));
}

function rowsOf(weight: Float32Array, tokens: Int32Array, dim: number): Float32Array {
  return Float32Array.from(
    { length: tokens.length * dim },
    (_, i) => weight[tokens[Math.floor(i / dim)]! * dim + (i % dim)]!,
  );
}

describe.each(isaLevels)('%s', (isa) => {
  test.each(shapes)('%i tokens of a vocabulary of %i in %i dimensions', async (count, vocab, dim) => {
    const [tokens, weight, upstream] = [
      tokensOf(count, vocab),
      random.floats(vocab * dim),
      random.floats(count * dim),
    ];
    const before = random.floats(vocab * dim);
    const [out, gradient] = await onAllThreadCounts(isa, (device) => {
      const index = device.tensor(tokens);
      const grad = device.tensor(before, [vocab, dim]);
      native.embeddingBackward(index.handle, device.tensor(upstream, [count, dim]).handle, grad.handle);
      return [embedding(index, device.tensor(weight, [vocab, dim])), grad];
    });
    expectSameBits(out!, rowsOf(weight, tokens, dim));
    // In row order, so float32 on the host gives the same bits.
    const expected = before.slice();
    upstream.forEach((value, i) => {
      expected[tokens[Math.floor(i / dim)]! * dim + (i % dim)]! += value;
    });
    expectSameBits(gradient!, expected);
  });

  test.each(['bfloat16', 'float16'] as const)('a table of %s', async (dtype) => {
    const weight = representable(random.floats(5 * 31), dtype);
    const tokens = tokensOf(7, 5);
    const [out] = await onAllThreadCounts(isa, (device) => [
      embedding(device.tensor(tokens), device.tensor(encode(weight, dtype), [5, 31], dtype)),
    ]);
    expectSameBits(out!, rowsOf(weight, tokens, 31));
  });

  test('gradient, with tokens that occur twice', async () => {
    await onCpu({ isa, threads: 2 }, async (device) => {
      using tokens = device.tensor(Int32Array.of(3, 0, 3, 4), [2, 2]);
      await checkGradients(device, [{ data: random.floats(15), shape: [5, 3] }], (weight) =>
        embedding(tokens, weight),
      );
    });
  });

  test.each([-1, 5, 2 ** 31 - 1, -(2 ** 31)])('token %i of 5 is refused', async (bad) => {
    await onCpu({ isa, threads: 2 }, async (device) => {
      using weight = device.zeros([5, 3]);
      const indices = [4, bad, 0];
      const refusal = foretokenError('INDEX_OUT_OF_RANGE', 'embedding: tokens[1]', String(bad), '0 … 4');
      expect(() => embedding(device.tensor(Int32Array.from(indices)), weight)).toThrow(refusal);
      await expect(embedding(onDeviceOnly(device, indices), weight).data()).rejects.toThrow(refusal);

      using grad = device.zeros([5, 3]);
      using upstream = device.zeros([3, 3]);
      native.embeddingBackward(onDeviceOnly(device, indices).handle, upstream.handle, grad.handle);
      await expect(device.synchronize()).rejects.toThrow(refusal);
      // Reported once; then the stream goes on.
      expect(await grad.data()).toEqual(new Float32Array(15));
    });
  });
});

test('what the host knows of indices follows every write', async () => {
  await onCpu({}, async (device) => {
    const weight = device.tensor(Float32Array.of(10, 11, 12), [3, 1]);
    const tokens = device.tensor(Int32Array.of(0, 9, 1, 2));
    const alias = tokens.detach();
    expect(() => embedding(alias, weight)).toThrow(foretokenError('INDEX_OUT_OF_RANGE', 'tokens[1] is 9'));
    // A view sees its own part, whatever lies around it.
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
      foretokenError('DTYPE_MISMATCH', 'weight must be floating'),
    );
    expect(() => embedding(tokens, device.zeros([3]))).toThrow(
      foretokenError('SHAPE_MISMATCH', 'weight is [3]'),
    );
    await device.synchronize();
  });
});
