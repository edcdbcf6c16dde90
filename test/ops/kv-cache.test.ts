import { kvAppend, kvCompact } from '../../lib/tensor/ops/kv-cache';
import type { Tensor } from '../../lib/tensor/tensor';
import { expectSameBits } from '../support/accuracy';
import { isaLevels, onCpu, onDeviceOnly } from '../support/cpu';
import { along, chain, Decoder, draftOf, pathTo, randomTree } from '../support/decoder';
import { foretokenError } from '../support/errors';
import { Random } from '../support/random';

const shape = { heads: 2, kvHeads: 2, headDim: 5, scale: 0.4 };

describe.each(isaLevels)('the KV cache on %s', (isa) => {
  // Capacities that whole groups of keys fill, and that they do not.
  it.each([9, 16, 21, 48, 61])('with capacity %d, compacted, is that of plain decoding', async (capacity) => {
    await onCpu({ isa, threads: 2 }, async (device) => {
      const random = new Random(capacity);
      const options = { capacity, sequences: 3, layers: 2 };
      using speculative = new Decoder(device, shape, options);
      using plain = new Decoder(device, shape, options);
      for (;;) {
        // One sequence may have nothing to draft, or nothing accepted.
        const drafts = speculative.lengths.map(() =>
          draftOf(random, shape, randomTree(random, random.integer(7))),
        );
        const paths = drafts.map(({ parents }) => pathTo(parents, random.integer(parents.length + 1) - 1));
        if (speculative.lengths.some((length, s) => length + drafts[s]!.parents.length > capacity)) break;
        await speculative.forward(...drafts);
        speculative.accept(drafts, paths);
        await plain.forward(...drafts.map((draft, s) => along(draft, paths[s]!)));
        plain.advance(paths.map(({ length }) => length));
      }
      expect(speculative.lengths).toEqual(plain.lengths);
      expect(Math.max(...plain.lengths)).toBeGreaterThan(capacity / 4);
      expectSameBits(await speculative.committed(), await plain.committed());
    });
  });

  it('is the same however many threads write it', async () => {
    const [one, three] = await Promise.all(
      [1, 3].map((threads) =>
        onCpu({ isa, threads }, async (device) => {
          const random = new Random(5);
          const wide = { heads: 4, kvHeads: 4, headDim: 80, scale: 0.1 };
          using decoder = new Decoder(device, wide, { capacity: 150, layers: 3 });
          const draft = draftOf(random, wide, chain(100));
          const out = await decoder.forward(draft);
          decoder.accept([draft], [chain(50).map((node) => 2 * node + 3)]);
          return { out, cache: await decoder.committed() };
        }),
      ),
    );
    expectSameBits(three!.out, one!.out);
    expectSameBits(three!.cache, one!.cache);
  });
});

describe.each(['host', 'device'])('what the %s knows', (where) => {
  const index = (decoder: Decoder, values: readonly number[], dims = [values.length]): Tensor =>
    where === 'host'
      ? decoder.device.tensor(Int32Array.from(values), dims)
      : onDeviceOnly(decoder.device, values, dims);

  // Two sequences with room for 8 positions; the tree has 3 + 2 rows.
  it.each([
    ['rowOffsets[0] is 1, but must be in 0 … 0', [1, 3, 5], [4, 0], [-1, 0, 0, -1, 3]],
    ['rowOffsets[1] is -1, but must be in 0 … 8', [0, -1, 5], [4, 0], [-1, 0, 0, -1, 3]],
    ['rowOffsets[2] is 4, but must be in 5 … 5 (the number of rows)', [0, 3, 4], [4, 0], [-1, 0, 0, -1, 3]],
    ['rowOffsets[2] is 6, but must be in 5 … 5', [0, 3, 6], [4, 0], [-1, 0, 0, -1, 3]],
    [
      'rowOffsets[1] is 9, but must be in 0 … 8 (the capacity of the cache)',
      [0, 9, 5],
      [4, 0],
      [-1, 0, 0, -1, 3],
    ],
    [
      'lengths[0] is 6, but must be in 0 … 5 (the capacity of the cache less',
      [0, 3, 5],
      [6, 0],
      [-1, 0, 0, -1, 3],
    ],
    ['lengths[1] is -2147483648, but', [0, 3, 5], [5, -(2 ** 31)], [-1, 0, 0, -1, 3]],
    ['parents[1] is 1, but must be in 0 … 0', [0, 3, 5], [4, 0], [-1, 1, 0, -1, 3]],
    ['parents[2] is 2147483647, but must be in 0 … 1', [0, 3, 5], [4, 0], [-1, 0, 2 ** 31 - 1, -1, 3]],
    ['parents[4] is 2, but must be in 3 … 3', [0, 3, 5], [4, 0], [-1, 0, 0, -1, 2]],
    ['parents[0] is -2, but must be in 0 … -1 (the rows', [0, 3, 5], [4, 0], [-2, 0, 0, -1, 3]],
  ])('a malformed tree is refused: %s', async (message, rowOffsets, lengths, parents) => {
    await onCpu({}, async (device) => {
      using decoder = new Decoder(device, shape, { capacity: 8, sequences: 2 });
      using qkv = device.zeros([5, 30]);
      const tree = {
        rowOffsets: index(decoder, rowOffsets),
        lengths: index(decoder, lengths),
        parents: index(decoder, parents),
      };
      const append = async (): Promise<void> => {
        kvAppend(decoder.cache, 0, qkv, tree, 2);
        await device.synchronize();
      };
      await expect(append()).rejects.toEqual(foretokenError('INDEX_OUT_OF_RANGE', 'kvAppend: ', message));
      tree.rowOffsets.write(Int32Array.of(0, 3, 5));
      tree.lengths.write(Int32Array.of(5, 6));
      tree.parents.write(Int32Array.of(-1, 0, 0, -1, 3));
      await append();
    });
  });

  it.each([
    ['counts[0] is 4, but must be in 0 … 3', [4, 0], [0, 1, 2, 3, -1, -1]],
    ['counts[1] is -1, but must be in 0 … 2', [3, -1], [0, 1, 2, -1, -1, -1]],
    ['path[0] is -1, but must be in 0 … 2', [1, 0], [-1, -1, -1, -1, -1, -1]],
    ['path[1] is 1, but must be in 2 … 2 (rising rows of the sequence)', [3, 0], [1, 1, 2, -1, -1, -1]],
    ['path[2] is 3, but must be in 2 … 2', [3, 0], [0, 1, 3, -1, -1, -1]],
    ['path[3] is 1, but must be in 3 … 4', [1, 1], [0, -1, -1, 1, -1, -1]],
  ])('a path that is none is refused: %s', async (message, counts, path) => {
    await onCpu({}, async (device) => {
      using decoder = new Decoder(device, shape, { capacity: 8, sequences: 2 });
      const [rowOffsets, lengths] = [index(decoder, [0, 3, 5]), index(decoder, [5, 6])];
      const compact = async (): Promise<void> => {
        kvCompact(decoder.cache, rowOffsets, lengths, index(decoder, path, [2, 3]), index(decoder, counts));
        await device.synchronize();
      };
      await expect(compact()).rejects.toEqual(foretokenError('INDEX_OUT_OF_RANGE', 'kvCompact: ', message));
      await device.synchronize();
    });
  });
});

it('names what does not fit', async () => {
  await onCpu({}, async (device) => {
    using decoder = new Decoder(device, shape, { capacity: 8, sequences: 2, layers: 3 });
    const { cache } = decoder;
    const qkv = device.zeros([2, 30]);
    const tree = decoder.tree([
      { parents: [-1], rows: [] },
      { parents: [-1], rows: [] },
    ]);
    const mismatch = (...parts: string[]): Error => foretokenError('SHAPE_MISMATCH', ...parts);
    expect(() => kvAppend(qkv, 0, qkv, tree, 2)).toThrow(mismatch('kvAppend: cache is [2, 30]', 'capacity'));
    expect(() => kvAppend(device.zeros([1, 2, 2, 0, 8, 5]), 0, qkv, tree, 2)).toThrow(
      mismatch('no empty dimension'),
    );
    expect(() => kvAppend(cache, 3, qkv, tree, 2)).toThrow(
      foretokenError('INVALID_ARGUMENT', 'layer', '0 … 2', '3'),
    );
    expect(() => kvAppend(cache, 0, qkv, tree, 3)).toThrow(mismatch('qkv is [2, 30]', '3 query, 2 key'));
    expect(() => kvAppend(cache, 0, device.zeros([3, 30]), tree, 2)).toThrow(
      mismatch('parents is [2]', '[3]'),
    );
    const short = { ...tree, rowOffsets: device.tensor(Int32Array.of(0, 2)) };
    expect(() => kvAppend(cache, 0, qkv, short, 2)).toThrow(mismatch('rowOffsets is [2]', '[3]'));
    const path = device.tensor(new Int32Array(4), [2, 2]);
    const compact = (paths: Tensor, counts: Tensor) => () =>
      kvCompact(cache, tree.rowOffsets, tree.lengths, paths, counts);
    expect(compact(tree.lengths, tree.lengths)).toThrow(mismatch('kvCompact: path is [2]', '2 dimensions'));
    expect(compact(path, tree.rowOffsets)).toThrow(mismatch('kvCompact: counts is [3]', '[2]'));
    expect(compact(path, qkv)).toThrow(foretokenError('DTYPE_MISMATCH', 'kvCompact: counts must be int32'));
  });
});
