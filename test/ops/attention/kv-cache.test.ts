import { embedding } from '../../../lib/tensor/ops/layers/embedding';
import { kvAppend, kvCompact } from '../../../lib/tensor/ops/attention/kv-cache';
import type { Tensor } from '../../../lib/tensor/tensor';
import { expectSameBits } from '../../support/accuracy';
import { onCpu, onDeviceOnly } from '../../support/cpu';
import {
  along,
  chain,
  DecodingCache,
  draftOf,
  PAGE,
  pathTo,
  randomTree,
  rowWidth,
} from '../../support/decoding-cache';
import { bfloat16Targets, onDevice, onEachVariant, targets } from '../../support/devices';
import { foretokenError } from '../../support/errors';
import { Random } from '../../support/random';

const shape = { heads: 2, kvHeads: 2, headDim: 5, scale: 0.4 };

const ways = [
  ...targets.map((target) => [target, 'float32'] as const),
  ...bfloat16Targets.map((target) => [target, 'bfloat16'] as const),
];

describe.each(ways)('the KV cache on %s in %s', (target, dtype) => {
  // Capacities that are and are not multiples of a page; heads that are and are not multiples of a vector.
  it.each([
    [9, 5],
    [64, 8],
    [85, 5],
    [128, 24],
  ])(
    'with capacity %d and heads of %d, after compaction, equals that of plain decoding',
    async (capacity, headDim) => {
      await onEachVariant(target, async (device) => {
        const random = new Random(capacity);
        const options = { capacity, sequences: 3, layers: 2, dtype };
        using speculative = new DecodingCache(device, { ...shape, headDim }, options);
        using plain = new DecodingCache(device, { ...shape, headDim }, options);
        for (;;) {
          // A sequence may have no drafts, or no accepted node.
          const drafts = speculative.lengths.map(() =>
            draftOf(random, speculative.shape, randomTree(random, random.integer(7))),
          );
          const paths = drafts.map(({ parents }) => pathTo(parents, random.integer(parents.length + 1) - 1));
          if (speculative.lengths.some((length, s) => length + drafts[s]!.parents.length > capacity)) break;
          speculative.append(...drafts);
          speculative.accept(drafts, paths);
          plain.append(...drafts.map((draft, s) => along(draft, paths[s]!)));
          plain.advance(paths.map(({ length }) => length));
        }
        expect(speculative.lengths).toEqual(plain.lengths);
        expect(Math.max(...plain.lengths)).toBeGreaterThan(capacity / 4);
        expectSameBits(await speculative.committed(), await plain.committed());
      });
    },
  );

  it('is compacted along paths of any length', async () => {
    const random = new Random(5);
    const wide = { heads: 4, kvHeads: 4, headDim: 80, scale: 0.1 };
    const draft = draftOf(random, wide, chain(70));
    // Dense and sparse parts, so that slots are read soon after they have moved and soon before they are overwritten.
    const path = [0, 1, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 20, 30, 31, 45, 60, 69];
    let first: Float32Array | undefined;
    await onEachVariant(target, async (device) => {
      const options = { capacity: 100, layers: 3, dtype };
      using speculative = new DecodingCache(device, wide, options);
      using plain = new DecodingCache(device, wide, options);
      speculative.append(draft);
      speculative.accept([draft], [path]);
      plain.append(along(draft, path));
      plain.advance([path.length]);
      const committed = await speculative.committed();
      expectSameBits(committed, await plain.committed());
      expectSameBits(committed, (first ??= committed));
    });
  });

  it.each([true, false])('gets no row of padding (trees that the host knows: %p)', async (isKnown) => {
    const random = new Random(7);
    await onEachVariant(target, async (device) => {
      const options = { capacity: 40, sequences: 3, layers: 2, dtype };
      const drafts = [5, 0, 9].map((rows) => draftOf(random, shape, randomTree(random, rows)));
      const nothing = drafts.map(() => draftOf(random, shape, []));
      using plain = new DecodingCache(device, shape, options);
      using padded = new DecodingCache(device, shape, { ...options, padding: { rows: 30, isKnown } });
      padded.append(...nothing);
      padded.accept(nothing, [[], [], []]);
      expectSameBits(await padded.contents(), await plain.contents());
      for (const decoding of [plain, padded]) {
        decoding.append(...drafts);
        decoding.accept(drafts, [pathTo(drafts[0]!.parents, 4), [], pathTo(drafts[2]!.parents, 8)]);
      }
      expectSameBits(await padded.contents(), await plain.contents());
    });
  });

  it('is not written between an error and the readback that reports it', async () => {
    await onDevice(target, async (device) => {
      const random = new Random(6);
      using decoding = new DecodingCache(device, shape, { capacity: 8, dtype });
      const draft = draftOf(random, shape, chain(5));
      decoding.append(draft);
      const before = await decoding.contents();
      using tree = decoding.tree([{ parents: [-1, -1, -1, -1, -1], rows: [] }]);
      using qkv = decoding.qkv(chain(5).map(() => random.floats(rowWidth(shape), 2)));
      using table = device.zeros([3, shape.headDim]);
      const [path, counts] = [device.tensor(Int32Array.of(2, 4), [1, 2]), device.tensor(Int32Array.of(2))];
      const change = async (after: () => void): Promise<void> => {
        after();
        kvAppend(decoding.cache, 0, qkv, tree, shape.heads);
        kvCompact(decoding.cache, tree.rowOffsets, tree.lengths, path, counts);
        await device.synchronize();
      };
      const fail = (): void => embedding(onDeviceOnly(device, [3]), table).dispose();
      await expect(change(fail)).rejects.toThrow('tokens[0] is 3');
      expectSameBits(await decoding.contents(), before);
      await change(() => undefined);
      expect(await decoding.contents()).not.toEqual(before);
    });
  });
});

const knowers = targets.flatMap((target) => [['host', target] as const, ['device', target] as const]);

describe.each(knowers)('indices known to the %s on %s', (where, target) => {
  const index = (decoding: DecodingCache, values: readonly number[], dims = [values.length]): Tensor =>
    where === 'host'
      ? decoding.device.tensor(Int32Array.from(values), dims)
      : onDeviceOnly(decoding.device, values, dims);

  // Two sequences with room for 8 positions; the tree has 3 + 2 rows.
  it.each([
    ['rowOffsets[0] is 1, but must be in 0 … 0', [1, 3, 5], [4, 0], [-1, 0, 0, -1, 3]],
    ['rowOffsets[1] is -1, but must be in 0 … 8', [0, -1, 5], [4, 0], [-1, 0, 0, -1, 3]],
    ['rowOffsets[2] is 6, but must be in 0 … 5 (the number of rows)', [0, 3, 6], [4, 0], [-1, 0, 0, -1, 3]],
    [
      'rowOffsets[1] is 9, but must be in 0 … 8 (the positions reserved for the sequence)',
      [0, 9, 5],
      [4, 0],
      [-1, 0, 0, -1, 3],
    ],
    [
      'lengths[0] is 6, but must be in 0 … 5 (the positions reserved for the sequence minus its rows)',
      [0, 3, 5],
      [6, 0],
      [-1, 0, 0, -1, 3],
    ],
    ['lengths[1] is -2147483648, but', [0, 3, 5], [5, -(2 ** 31)], [-1, 0, 0, -1, 3]],
    ['parents[1] is 1, but must be in 0 … 0', [0, 3, 5], [4, 0], [-1, 1, 0, -1, 3]],
    ['parents[2] is 2147483647, but must be in 0 … 1', [0, 3, 5], [4, 0], [-1, 0, 2 ** 31 - 1, -1, 3]],
    ['parents[4] is 2, but must be in 3 … 3', [0, 3, 5], [4, 0], [-1, 0, 0, -1, 2]],
    ['parents[0] is -2, but must be in 0 … -1 (earlier rows', [0, 3, 5], [4, 0], [-2, 0, 0, -1, 3]],
  ])('a malformed tree is refused: %s', async (message, rowOffsets, lengths, parents) => {
    await onDevice(target, async (device) => {
      using decoding = new DecodingCache(device, shape, { capacity: 8, sequences: 2 });
      using qkv = device.zeros([5, 30]).fill(1);
      const tree = {
        rowOffsets: index(decoding, rowOffsets),
        lengths: index(decoding, lengths),
        parents: index(decoding, parents),
      };
      const append = async (): Promise<void> => {
        kvAppend(decoding.cache, 0, qkv, tree, 2);
        await device.synchronize();
      };
      await expect(append()).rejects.toEqual(foretokenError('INDEX_OUT_OF_RANGE', 'kvAppend: ', message));
      expectSameBits(await decoding.contents(), new Float32Array(2 * 2 * 2 * PAGE * 5));
      tree.rowOffsets.write(Int32Array.of(0, 3, 5));
      tree.lengths.write(Int32Array.of(5, 6));
      tree.parents.write(Int32Array.of(-1, 0, 0, -1, 3));
      await append();
      const written = (await decoding.contents()).reduce((sum, x) => sum + x);
      expect(written).toBe(5 * 2 * 2 * 5);
    });
  });

  it.each([
    ['counts[0] is 4, but must be in 0 … 3', [4, 0], [0, 1, 2, 3, -1, -1]],
    ['counts[1] is -1, but must be in 0 … 2', [3, -1], [0, 1, 2, -1, -1, -1]],
    ['path[0] is -1, but must be in 0 … 2', [1, 0], [-1, -1, -1, -1, -1, -1]],
    ['path[1] is 1, but must be in 2 … 2 (ascending rows of the sequence)', [3, 0], [1, 1, 2, -1, -1, -1]],
    ['path[2] is 3, but must be in 2 … 2', [3, 0], [0, 1, 3, -1, -1, -1]],
    ['path[3] is 1, but must be in 3 … 4', [1, 1], [0, -1, -1, 1, -1, -1]],
  ])('an invalid path is refused: %s', async (message, counts, path) => {
    await onDevice(target, async (device) => {
      using decoding = new DecodingCache(device, shape, { capacity: 8, sequences: 2 });
      const [rowOffsets, lengths] = [index(decoding, [0, 3, 5]), index(decoding, [5, 6])];
      const compact = async (): Promise<void> => {
        kvCompact(
          decoding.cache,
          rowOffsets,
          lengths,
          index(decoding, path, [2, 3]),
          index(decoding, counts),
        );
        await device.synchronize();
      };
      await expect(compact()).rejects.toEqual(foretokenError('INDEX_OUT_OF_RANGE', 'kvCompact: ', message));
      await device.synchronize();
    });
  });
});

it('names arguments that do not match', async () => {
  await onCpu({}, async (device) => {
    using decoding = new DecodingCache(device, shape, { capacity: 8, sequences: 2, layers: 3 });
    const { cache } = decoding;
    const qkv = device.zeros([2, 30]);
    const tree = decoding.tree([
      { parents: [-1], rows: [] },
      { parents: [-1], rows: [] },
    ]);
    const mismatch = (...parts: string[]): Error => foretokenError('SHAPE_MISMATCH', ...parts);
    expect(() => kvAppend(qkv as never, 0, qkv, tree, 2)).toThrow(
      foretokenError('INVALID_ARGUMENT', 'kvAppend: cache must be a KvCache'),
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
