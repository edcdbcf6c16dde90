import { capture } from '../../../lib/tensor/capture';
import { treeAttention, type AttentionShape } from '../../../lib/tensor/ops/attention/attention';
import { kvAppend } from '../../../lib/tensor/ops/attention/kv-cache';
import { exact, expectAsGoodAsFloat32, expectSameBits, float32, type Rounding } from '../../support/accuracy';
import { onDeviceOnly, take } from '../../support/cpu';
import {
  along,
  chain,
  DecodingCache,
  draftOf,
  pathTo,
  randomTree,
  rowWidth,
  type Draft,
} from '../../support/decoding-cache';
import { bfloat16Targets, isEmulated, onDevice, onEachVariant, targets } from '../../support/devices';
import { foretokenError } from '../../support/errors';
import { nearest } from '../../support/half';
import { memoize } from '../../support/memoize';
import { Random } from '../../support/random';

const shapeOf = (heads: number, kvHeads: number, headDim: number, window?: number): AttentionShape => ({
  heads,
  kvHeads,
  headDim,
  scale: 1 / Math.sqrt(headDim),
  window,
});

/** Plain arithmetic: how it rounds sums, and how it rounds the weights and results that it stores. */
interface Arithmetic {
  round: Rounding;
  store: Rounding;
}

const toBfloat16 = (x: number): number => nearest(x, 'bfloat16');
const arithmetics = {
  exact: { round: exact, store: exact },
  float32: { round: float32, store: float32 },
  bfloat16: { round: float32, store: toBfloat16 },
} satisfies Record<string, Arithmetic>;

/** The definition: the last of these rows of qkv attends to those of its window, in order. */
function reference(
  all: readonly Float32Array[],
  shape: AttentionShape,
  { round, store }: Arithmetic,
): number[] {
  const { heads, kvHeads, headDim, scale, window = all.length } = shape;
  const rows = all.slice(-window);
  return Array.from({ length: heads }, (_, head) => {
    const query = rows.at(-1)!.subarray(head * headDim);
    const key = (heads + Math.floor((head * kvHeads) / heads)) * headDim;
    const scores = rows.map((row) => {
      let sum = 0;
      for (let d = 0; d < headDim; d++) sum = round(sum + round(query[d]! * row[key + d]!));
      return round(scale * sum);
    });
    const largest = Math.max(...scores);
    const weights = scores.map((score) => store(round(Math.exp(score - largest))));
    const total = weights.reduce((sum, weight) => round(sum + weight), 0);
    return Array.from({ length: headDim }, (_, d) => {
      const value = key + kvHeads * headDim + d;
      const sum = weights.reduce((sum, weight, i) => round(sum + round(weight * rows[i]![value]!)), 0);
      return store(round(sum / total));
    });
  }).flat();
}

/** The results of all rows of a draft that hangs on a committed chain. */
const expectedOf = memoize(
  (before: Draft, draft: Draft, shape: AttentionShape, arithmetic: keyof typeof arithmetics) =>
    draft.parents.flatMap((_, row) => {
      const rows = [...before.rows, ...along(draft, pathTo(draft.parents, row)).rows];
      return reference(rows, shape, arithmetics[arithmetic]);
    }),
);

/** A cache that has committed these rows as a chain. */
function committed(
  options: ConstructorParameters<typeof DecodingCache>,
  ...prefixes: readonly Draft[]
): DecodingCache {
  const decoding = new DecodingCache(...options);
  decoding.append(...prefixes);
  decoding.advance(prefixes.map((prefix) => prefix.rows.length));
  return decoding;
}

/** The same tree with its nodes in another order, and the new index of each old node. */
function reordered(random: Random, parents: readonly number[]): { parents: number[]; place: number[] } {
  const place = new Array<number>(parents.length);
  const result: number[] = [];
  const ready = parents.flatMap((parent, node) => (parent < 0 ? [node] : []));
  while (ready.length > 0) {
    const [node] = ready.splice(random.integer(ready.length), 1) as [number];
    place[node] = result.length;
    result.push(parents[node]! < 0 ? -1 : place[parents[node]!]!);
    ready.push(...parents.flatMap((parent, child) => (parent === node ? [child] : [])));
  }
  return { parents: result, place };
}

const ways = [
  ...targets.map((target) => [target, 'float32'] as const),
  ...bfloat16Targets.map((target) => [target, 'bfloat16'] as const),
];

describe.each(ways)('treeAttention on %s in %s', (target, dtype) => {
  // [prefix, rows, heads, kvHeads, headDim, window]
  it.each<[number, number, number, number, number, number?]>([
    [0, 1, 1, 1, 8],
    [0, 7, 2, 1, 12],
    [1, 3, 4, 1, 8],
    [15, 2, 2, 2, 32],
    [31, 31, 4, 2, 64],
    [47, 64, 4, 1, 32],
    [57, 12, 3, 1, 5],
    [62, 3, 40, 2, 16],
    [250, 9, 6, 2, 24],
    [255, 2, 1, 1, 16],
    [257, 5, 2, 2, 80],
    [700, 2, 4, 1, 136],
    [0, 7, 2, 1, 12, 1],
    [5, 31, 4, 2, 16, 2],
    [63, 12, 3, 1, 8, 64],
    [62, 3, 40, 2, 16, 30],
    [130, 40, 4, 2, 12, 65],
    [300, 9, 6, 2, 24, 257],
    [700, 6, 4, 1, 20, 130],
    [700, 2, 4, 1, 20, 1000],
  ])('of %d positions and %d rows, %d/%d heads of %d', async (prefix, rows, ...dims) => {
    const [random, shape] = [new Random(prefix + rows), shapeOf(...dims)];
    const before = draftOf(random, shape, chain(prefix));
    const draft = draftOf(random, shape, randomTree(random, rows));
    await onDevice(target, async (device) => {
      using decoding = committed([device, shape, { capacity: prefix + rows, dtype }], before);
      const actual = await decoding.forward(draft);
      const [oracle, plain] = [
        expectedOf(before, draft, shape, 'exact'),
        expectedOf(before, draft, shape, dtype),
      ];
      expectAsGoodAsFloat32(actual, oracle, plain);
    });
  });

  it.each<[number, number, number, number, number, number?]>([
    [0, 64, 2, 1, 12],
    [13, 1, 4, 2, 32],
    [16, 2, 2, 2, 8],
    [37, 9, 4, 1, 64],
    [100, 33, 8, 2, 5],
    [530, 17, 2, 2, 80],
    [0, 64, 2, 1, 12, 3],
    [100, 33, 8, 2, 5, 64],
    [530, 17, 2, 2, 16, 200],
    [600, 33, 40, 4, 8, 70],
  ])('after %d positions gives each of %d rows the bits of plain decoding', async (prefix, rows, ...dims) => {
    const [random, shape] = [new Random(7 * prefix + rows), shapeOf(...dims)];
    const before = draftOf(random, shape, chain(prefix));
    const trees = [randomTree(random, rows), chain(rows), chain(rows).map(() => -1)];
    await onDevice(target, async (device) => {
      for (const parents of trees) {
        const draft = draftOf(random, shape, parents);
        using decoding = committed([device, shape, { capacity: prefix + rows + 3, dtype }], before);
        const together = await decoding.forward(draft);
        const size = together.length / rows;
        using plain = committed([device, shape, { capacity: prefix + rows, dtype }], before);
        for (let row = 0; row < rows; row += 1 + random.integer(4)) {
          const path = pathTo(parents, row);
          const above = path.slice(0, -1);
          plain.lengths[0] = prefix;
          plain.append(along(draft, above));
          plain.advance([above.length]);
          const alone = await plain.forward(along(draft, [row]));
          expectSameBits(alone, together.slice(row * size, (row + 1) * size));
        }
      }
    });
  });

  it('gives a row the same bits among 1 … 64 rows', async () => {
    const [random, shape] = [new Random(64), shapeOf(4, 2, 32)];
    const before = draftOf(random, shape, chain(45));
    const draft = draftOf(random, shape, randomTree(random, 64));
    await onDevice(target, async (device) => {
      using decoding = committed([device, shape, { capacity: 109, dtype }], before);
      const all = await decoding.forward(draft);
      // An emulated device takes a while for each.
      const counts = isEmulated(target)
        ? [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63]
        : Array.from({ length: 63 }, (_, i) => i + 1);
      for (const rows of counts) {
        const some = await decoding.forward({
          parents: draft.parents.slice(0, rows),
          rows: draft.rows.slice(0, rows),
        });
        expectSameBits(some, all.slice(0, some.length));
      }
    });
  });

  it.each([undefined, 70])(
    'gives a long prompt the same bits whole and in pieces, window %p',
    async (window) => {
      const [random, shape] = [new Random(66), shapeOf(6, 2, 20, window)];
      const prompt = draftOf(random, shape, chain(isEmulated(target) ? 400 : 2500));
      const pieces = [1, 300, 15, prompt.rows.length - 317, 1];
      await onDevice(target, async (device) => {
        using decoding = new DecodingCache(device, shape, { capacity: prompt.rows.length, dtype });
        const whole = await decoding.forward(prompt);
        let [from, row] = [0, 0];
        for (const count of pieces) {
          const rows = prompt.rows.slice(row, (row += count));
          const piece = await decoding.forward({ parents: chain(count), rows });
          decoding.advance([count]);
          expectSameBits(piece, whole.slice(from, (from += piece.length)));
        }
        expect(from).toBe(whole.length);
      });
    },
  );

  it('gives the same bits on any number of threads, in any order of blocks', async () => {
    const [random, shape] = [new Random(65), shapeOf(4, 2, 32)];
    const before = draftOf(random, shape, chain(45));
    const draft = draftOf(random, shape, randomTree(random, 40));
    let first: Float32Array | undefined;
    await onEachVariant(target, async (device) => {
      using decoding = committed([device, shape, { capacity: 90, dtype }], before);
      const out = await decoding.forward(draft);
      expectSameBits(out, (first ??= out));
    });
  });

  it('gives the same bits for any order of the nodes', async () => {
    const [random, shape] = [new Random(3), shapeOf(4, 4, 12)];
    const before = draftOf(random, shape, chain(21));
    const draft = draftOf(random, shape, randomTree(random, 40));
    await onDevice(target, async (device) => {
      using decoding = committed([device, shape, { capacity: 70, dtype }], before);
      const first = await decoding.forward(draft);
      const size = first.length / 40;
      for (let i = 0; i < 5; i++) {
        const { parents, place } = reordered(random, draft.parents);
        const rows = new Array<Float32Array>(40);
        for (const [node, at] of place.entries()) rows[at] = draft.rows[node]!;
        const second = await decoding.forward({ parents, rows });
        const back = place.flatMap((at) => [...second.subarray(at * size, (at + 1) * size)]);
        expectSameBits(Float32Array.from(back), first);
      }
    });
  });

  it('gives sequences side by side the same bits as each sequence alone', async () => {
    const [random, shape] = [new Random(8), shapeOf(4, 2, 8)];
    const prefixes = [5, 0, 33, 17].map((length) => draftOf(random, shape, chain(length)));
    const drafts = [9, 1, 0, 20].map((rows) => draftOf(random, shape, randomTree(random, rows)));
    await onDevice(target, async (device) => {
      using decoding = committed([device, shape, { capacity: 40, sequences: 4, dtype }], ...prefixes);
      const together = await decoding.forward(...drafts);
      let from = 0;
      for (const [s, draft] of drafts.entries()) {
        using single = committed([device, shape, { capacity: 64, dtype }], prefixes[s]!);
        const alone = await single.forward(draft);
        expectSameBits(alone, together.slice(from, (from += alone.length)));
      }
      expect(from).toBe(together.length);
    });
  });

  it.each([true, false])(
    'gives padding zeros and other rows the same bits (trees that the host knows: %p)',
    async (isKnown) => {
      const [random, shape] = [new Random(12), shapeOf(4, 2, 8)];
      const prefixes = [5, 0, 33].map((length) => draftOf(random, shape, chain(length)));
      const drafts = [9, 0, 20].map((rows) => draftOf(random, shape, randomTree(random, rows)));
      const nothing = drafts.map(() => draftOf(random, shape, []));
      await onDevice(target, async (device) => {
        for (const trees of [drafts, nothing]) {
          for (const rows of [1, 3, 35]) {
            const options = { capacity: 60, sequences: 3, dtype };
            using plain = committed([device, shape, options], ...prefixes);
            using padded = committed(
              [device, shape, { ...options, padding: { rows, isKnown } }],
              ...prefixes,
            );
            const zeros = new Array<number>(rows * shape.heads * shape.headDim).fill(0);
            const expected = Float32Array.from([...(await plain.forward(...trees)), ...zeros]);
            expectSameBits(await padded.forward(...trees), expected);
          }
        }
      });
    },
  );

  it('ignores the contents of unused slots', async () => {
    const [random, shape] = [new Random(9), shapeOf(2, 1, 8)];
    const before = draftOf(random, shape, chain(10));
    const draft = draftOf(random, shape, [-1, -1, 0, 1, 2]);
    await onDevice(target, async (device) => {
      using clean = committed([device, shape, { capacity: 30, dtype }], before);
      using dirty = new DecodingCache(device, shape, { capacity: 30, dtype });
      const nothing = chain(30).map(() => new Float32Array(rowWidth(shape)).fill(NaN));
      dirty.append({ parents: chain(30), rows: nothing });
      dirty.append(before);
      dirty.advance([10]);
      expectSameBits(await dirty.forward(draft), await clean.forward(draft));
    });
  });

  it.each([false, true])('reads no page before the window of a row (NaN there: %p)', async (isPoisoned) => {
    const [random, shape] = [new Random(13), shapeOf(4, 2, 8, 50)];
    const before = draftOf(random, shape, chain(700));
    const draft = draftOf(random, shape, randomTree(random, 9));
    // The windows of all rows begin behind position 640, which begins a page.
    const other = before.rows.map((row, i) => (i >= 640 ? row : row.map((x) => (isPoisoned ? NaN : 1 - x))));
    await onDevice(target, async (device) => {
      const options = { capacity: 720, dtype };
      using plain = committed([device, shape, options], before);
      using changed = committed([device, shape, options], { ...before, rows: other });
      expectSameBits(await changed.forward(draft), await plain.forward(draft));
    });
  });

  it('passes NaN only to descendants of its row', async () => {
    const [random, shape] = [new Random(10), shapeOf(2, 1, 8)];
    const before = draftOf(random, shape, chain(60));
    const draft = draftOf(random, shape, [-1, 0, 1, 1, 2, 3, 4]);
    const rows = draft.rows.map((row, node) => (node === 2 ? row.map(() => NaN) : row));
    await onDevice(target, async (device) => {
      using decoding = committed([device, shape, { capacity: 70, dtype }], before);
      const clean = await decoding.forward(draft);
      const some = await decoding.forward({ ...draft, rows });
      const size = clean.length / rows.length;
      for (const [node] of rows.entries()) {
        const [actual, without] = [some, clean].map((all) => all.slice(node * size, (node + 1) * size));
        if (pathTo(draft.parents, node).includes(2)) expect([...actual!].every(Number.isNaN)).toBe(true);
        else expectSameBits(actual!, without!);
      }
    });
  });

  it('captured once, reads the lengths and parents at every replay', async () => {
    const [random, shape] = [new Random(11), shapeOf(4, 2, 16)];
    await onDevice(target, async (device) => {
      const options = { capacity: 300, dtype };
      using decoding = committed([device, shape, options], draftOf(random, shape, chain(280)));
      const drafts = [3, 100, 280].map((length) => ({
        length,
        draft: draftOf(random, shape, randomTree(random, 12)),
      }));
      using tree = decoding.tree([drafts[0]!.draft]);
      using qkv = decoding.qkv(drafts[0]!.draft.rows);
      using step = capture(device, () => {
        kvAppend(decoding.cache, 0, qkv, tree, shape.heads);
        return { out: treeAttention(decoding.cache, 0, qkv, tree, shape).cast('float32') };
      });
      for (const { length, draft } of drafts) {
        decoding.lengths[0] = length;
        using rows = decoding.qkv(draft.rows);
        qkv.copyFrom(rows);
        tree.lengths.write(Int32Array.of(length));
        tree.parents.write(Int32Array.from(draft.parents));
        step.replay();
        const replayed = (await step.result.out.data()) as Float32Array;
        expectSameBits(replayed, await decoding.forward(draft));
      }
    });
  });

  it.each(['host', 'device'])('a malformed tree that the %s knows is refused', async (where) => {
    await onDevice(target, async (device) => {
      const shape = shapeOf(2, 1, 3);
      using decoding = new DecodingCache(device, shape, { capacity: 4, dtype });
      using tree = decoding.tree([{ parents: [-1, 0, 1, 2], rows: [] }]);
      using qkv = device.zeros([4, 12], dtype);
      const index = (...values: number[]) =>
        where === 'host' ? device.tensor(Int32Array.from(values)) : onDeviceOnly(device, values);
      const attend = async (change: object): Promise<Float32Array> => {
        using out = treeAttention(decoding.cache, 0, qkv, { ...tree, ...change }, shape);
        return await take(out.cast('float32'));
      };
      const error = (message: string): Error =>
        foretokenError('INDEX_OUT_OF_RANGE', 'treeAttention: ', message);
      await expect(attend({ lengths: index(1) })).rejects.toEqual(
        error(
          'lengths[0] is 1, but must be in 0 … 0 (the positions reserved for the sequence minus its rows)',
        ),
      );
      await expect(attend({ parents: index(-1, 0, 3, 2) })).rejects.toEqual(
        error('parents[2] is 3, but must be in 0 … 1'),
      );
      await expect(attend({ parents: index(-1, 7, 3, -9) })).rejects.toEqual(
        error('parents[1] is 7, but must be in 0 … 0 (earlier rows of the sequence, or -1)'),
      );
      await expect(attend({ rowOffsets: index(0, 5) })).rejects.toEqual(
        error('rowOffsets[1] is 5, but must be in 0 … 4 (the positions reserved for the sequence)'),
      );
      expect(await attend({})).toEqual(new Float32Array(24));
    });
  });
});
