// shortConvolution, gatedDelta and commitRecurrent as a recurrent layer uses them one after another: against their definition,
// and speculative decoding against plain decoding, to the bit.
import { exact, expectAsGoodAsFloat32, expectSameBits, float32 } from '../../support/accuracy';
import { allIsaLevels, onCpu } from '../../support/cpu';
import { chain, pathTo, randomTree } from '../../support/decoding-cache';
import { bfloat16Targets, isEmulated, onDevice, onEachVariant, targets } from '../../support/devices';
import { nearest } from '../../support/half';
import { memoize } from '../../support/memoize';
import { Random } from '../../support/random';
import {
  channelsOf,
  RecurrentDecoding,
  recurrentAlong,
  recurrentDraft,
  recurrentParameters,
  recurrentStart,
  recurrentSteps,
  type RecurrentDecodingOptions,
  type RecurrentDraft,
  type RecurrentParameters,
  type RecurrentResults,
  type RecurrentShape,
} from '../../support/recurrent';

const shapeOf = (
  keyHeads: number,
  valueHeads: number,
  keyDim: number,
  valueDim: number,
  taps = 4,
): RecurrentShape => ({ keyHeads, valueHeads, keyDim, valueDim, taps });

const arithmetics = {
  exact: { round: exact, store: exact },
  float32: { round: float32, store: float32 },
  bfloat16: { round: float32, store: (x: number) => nearest(x, 'bfloat16') },
};

/** The results of all rows of a draft after a committed chain. */
const expectedOf = memoize(
  (
    before: RecurrentDraft,
    draft: RecurrentDraft,
    parameters: RecurrentParameters,
    arithmetic: keyof typeof arithmetics,
  ) => {
    const committed = recurrentSteps(
      recurrentStart(parameters.shape),
      before,
      parameters,
      arithmetics[arithmetic],
    );
    const state = committed.at(-1) ?? recurrentStart(parameters.shape);
    const steps = recurrentSteps(state, draft, parameters, arithmetics[arithmetic]);
    return {
      convolved: steps.flatMap(({ convolved }) => convolved),
      out: steps.flatMap(({ out }) => out),
    };
  },
);

const expectSame = (actual: RecurrentResults, expected: RecurrentResults): void => {
  expectSameBits(actual.convolved, expected.convolved);
  expectSameBits(actual.out, expected.out);
};

/** The results of rows first … first + count − 1 of some. */
function rowsOf(
  { convolved, out }: RecurrentResults,
  shape: RecurrentShape,
  first: number,
  count: number,
): RecurrentResults {
  const [channels, width] = [channelsOf(shape), shape.valueHeads * shape.valueDim];
  return {
    convolved: convolved.slice(first * channels, (first + count) * channels),
    out: out.slice(first * width, (first + count) * width),
  };
}

/** A tree of 2^n − 1 rows, or of 3 · 2^n − 1, in which siblings have subtrees of the same size, in depth-first order. */
function evenTree(rows: number): number[] {
  const half = (rows - 1) / 2;
  if (!Number.isInteger(half)) return chain(rows);
  const below = half > 0 ? evenTree(half) : [];
  const under = (first: number): number[] => below.map((parent) => (parent < 0 ? 0 : first + parent));
  return [-1, ...under(1), ...under(1 + half)];
}

const ways = [
  ...targets.map((target) => [target, 'float32'] as const),
  ...bfloat16Targets.map((target) => [target, 'bfloat16'] as const),
];

describe.each(ways)('a recurrent layer on %s in %s', (target, dtype) => {
  // [prefix, rows, heads of keys, heads of values, their sizes, taps]
  it.each<[number, number, number, number, number, number, number?]>([
    [0, 1, 1, 1, 16, 16],
    [0, 2, 1, 2, 16, 32, 2],
    [1, 7, 2, 2, 32, 16, 3],
    [2, 12, 1, 3, 48, 48],
    [5, 31, 2, 4, 16, 80, 5],
    [9, 23, 1, 17, 32, 16],
    [3, 63, 1, 1, 64, 16, 8],
    [20, 9, 1, 2, 128, 64],
    [2, 3, 1, 1, 256, 32],
    [1, 4, 1, 1, 16, 256],
  ])('of %d positions and %d rows, %d/%d heads of %d × %d', async (prefix, rows, ...dims) => {
    const [random, shape] = [new Random(prefix + rows), shapeOf(...dims)];
    const parameters = recurrentParameters(random, shape);
    const before = recurrentDraft(random, shape, chain(prefix));
    const draft = recurrentDraft(random, shape, randomTree(random, rows));
    await onDevice(target, async (device) => {
      using decoding = new RecurrentDecoding(device, parameters, { dtype });
      if (prefix > 0) decoding.commit(before);
      const actual = await decoding.forward(draft);
      const oracle = expectedOf(before, draft, parameters, 'exact');
      const plain = expectedOf(before, draft, parameters, dtype);
      expectAsGoodAsFloat32(actual.convolved, oracle.convolved, plain.convolved);
      expectAsGoodAsFloat32(actual.out, oracle.out, plain.out);
    });
  });

  it.each<[number, number, number, number, number, number, number?]>([
    [0, 33, 1, 2, 16, 48],
    [3, 1, 2, 2, 32, 32, 2],
    [7, 9, 1, 2, 128, 128],
    [5, 63, 1, 1, 16, 32, 8],
  ])('after %d positions gives each of %d rows the bits of plain decoding', async (prefix, rows, ...dims) => {
    const [random, shape] = [new Random(7 * prefix + rows), shapeOf(...dims)];
    const parameters = recurrentParameters(random, shape);
    const before = recurrentDraft(random, shape, chain(prefix));
    const trees = [randomTree(random, rows), chain(rows), chain(rows).map(() => -1)];
    await onDevice(target, async (device) => {
      for (const parents of trees) {
        const draft = recurrentDraft(random, shape, parents);
        using decoding = new RecurrentDecoding(device, parameters, { dtype });
        if (prefix > 0) decoding.commit(before);
        const together = await decoding.forward(draft);
        const step = isEmulated(target) ? 9 : 4;
        for (let row = random.integer(step); row < rows; row += 1 + random.integer(step)) {
          using plain = new RecurrentDecoding(device, parameters, { dtype });
          for (const each of chain(prefix).keys()) plain.commit(recurrentAlong(before, [each]));
          const path = pathTo(parents, row);
          for (const each of path.slice(0, -1)) plain.commit(recurrentAlong(draft, [each]));
          expectSame(await plain.forward(recurrentAlong(draft, [row])), rowsOf(together, shape, row, 1));
        }
      }
    });
  });

  // Two children whose subtrees have the same size, at every node or at every second one, need the most copies of S.
  it.each([3, 7, 11, 31, 47, 63, 127, 191, 255])('of %d rows that need many copies of S', async (rows) => {
    const [random, shape] = [new Random(rows), shapeOf(1, 1, 16, 16)];
    const parameters = recurrentParameters(random, shape);
    const draft = recurrentDraft(random, shape, evenTree(rows));
    await onDevice(target, async (device) => {
      using decoding = new RecurrentDecoding(device, parameters, { dtype });
      const actual = await decoding.forward(draft);
      const nothing = { parents: [], rows: [] };
      const oracle = expectedOf(nothing, draft, parameters, 'exact');
      const plain = expectedOf(nothing, draft, parameters, dtype);
      expectAsGoodAsFloat32(actual.out, oracle.out, plain.out);
    });
  });

  it('whose inputs are near zero', async () => {
    const [random, shape] = [new Random(2), shapeOf(1, 2, 16, 16)];
    const parameters = recurrentParameters(random, shape);
    const draft = recurrentDraft(random, shape, randomTree(random, 12));
    const rows = draft.rows.map((row, i) => ({ ...row, x: row.x.map((x) => (i % 3 ? x / 2 ** 10 : 0)) }));
    await onDevice(target, async (device) => {
      using decoding = new RecurrentDecoding(device, parameters, { dtype });
      const actual = await decoding.forward({ ...draft, rows });
      const [oracle, plain] = (['exact', dtype] as const).map((arithmetic) =>
        expectedOf({ parents: [], rows: [] }, { ...draft, rows }, parameters, arithmetic),
      );
      expectAsGoodAsFloat32(actual.out, oracle!.out, plain!.out);
    });
  });

  it('that forgets little in many rows', async () => {
    const [random, shape] = [new Random(2), shapeOf(1, 2, 16, 16)];
    const parameters = { ...recurrentParameters(random, shape), bias: Float32Array.of(-15, -14.5) };
    // The first row alone writes.
    const prompt = recurrentDraft(random, shape, chain(200));
    const rows = prompt.rows.map((row, i) => ({ ...row, b: row.b.map(() => (i === 0 ? 2 : -90)) }));
    await onDevice(target, async (device) => {
      using decoding = new RecurrentDecoding(device, parameters, { dtype });
      const actual = await decoding.forward({ ...prompt, rows });
      const [oracle, plain] = (['exact', dtype] as const).map((arithmetic) =>
        expectedOf({ parents: [], rows: [] }, { ...prompt, rows }, parameters, arithmetic),
      );
      expectAsGoodAsFloat32(actual.out, oracle!.out, plain!.out);
    });
  });

  it('that speculates has the states of plain decoding', async () => {
    const [random, shape] = [new Random(5), shapeOf(1, 2, 32, 48)];
    const parameters = recurrentParameters(random, shape);
    await onEachVariant(target, async (device) => {
      const options: RecurrentDecodingOptions = { sequences: 3, layers: 2, dtype };
      using speculative = new RecurrentDecoding(device, parameters, options);
      using plain = new RecurrentDecoding(device, parameters, options);
      let committed = 0;
      for (let round = 0; round < (isEmulated(target) ? 5 : 20); round++) {
        // A sequence may have no drafts, or no accepted node, or an accepted path that is no whole one.
        const drafts = [0, 1, 2].map((s) =>
          recurrentDraft(random, shape, randomTree(random, random.integer(s === 0 ? 2 : 9))),
        );
        const paths = drafts.map(({ parents }) => pathTo(parents, random.integer(parents.length + 1) - 1));
        speculative.accept(drafts, paths);
        const accepted = drafts.map((draft, s) => recurrentAlong(draft, paths[s]!));
        for (let i = 0; accepted.some(({ rows }) => i < rows.length); i++) {
          plain.commit(...accepted.map((draft) => recurrentAlong(draft, i < draft.rows.length ? [i] : [])));
          committed++;
        }
        expectSameBits(await speculative.contents(), await plain.contents());
      }
      expect(committed).toBeGreaterThan(5);
    });
  });

  it('gives a long prompt the same bits whole, in pieces and token by token', async () => {
    const [random, shape] = [new Random(66), shapeOf(1, 2, 16, 32)];
    const parameters = recurrentParameters(random, shape);
    const prompt = recurrentDraft(random, shape, chain(isEmulated(target) ? 80 : 256));
    const length = prompt.rows.length;
    const ways = [[length], [1, 64, 2, length - 68, 1], chain(length).map(() => 1)];
    await onDevice(target, async (device) => {
      let first: { results: RecurrentResults; contents: Float32Array } | undefined;
      for (const pieces of ways) {
        using decoding = new RecurrentDecoding(device, parameters, { dtype });
        const parts: RecurrentResults[] = [];
        let row = 0;
        for (const count of pieces) {
          const piece = recurrentAlong(
            prompt,
            Array.from({ length: count }, (_, i) => row + i),
          );
          row += count;
          parts.push(await decoding.forward(piece));
          decoding.commit(piece);
        }
        const results = {
          convolved: Float32Array.from(parts.flatMap(({ convolved }) => [...convolved])),
          out: Float32Array.from(parts.flatMap(({ out }) => [...out])),
        };
        first ??= { results, contents: await decoding.contents() };
        expectSame(results, first.results);
        expectSameBits(await decoding.contents(), first.contents);
      }
    });
  });

  it('gives the same bits on any number of threads, in any order of blocks', async () => {
    const [random, shape] = [new Random(65), shapeOf(2, 6, 32, 80)];
    const parameters = recurrentParameters(random, shape);
    const before = recurrentDraft(random, shape, chain(3));
    const draft = recurrentDraft(random, shape, randomTree(random, 30));
    let first: [RecurrentResults, Float32Array] | undefined;
    await onEachVariant(target, async (device) => {
      using decoding = new RecurrentDecoding(device, parameters, { dtype });
      decoding.commit(before);
      const results = await decoding.forward(draft);
      decoding.accept([draft], [pathTo(draft.parents, 29)]);
      first ??= [results, await decoding.contents()];
      expectSame(results, first[0]);
      expectSameBits(await decoding.contents(), first[1]);
    });
  });

  it('gives sequences side by side the same bits as each sequence alone', async () => {
    const [random, shape] = [new Random(8), shapeOf(1, 2, 16, 48)];
    const parameters = recurrentParameters(random, shape);
    const prefixes = [5, 0, 13, 2].map((length) => recurrentDraft(random, shape, chain(length)));
    const drafts = [9, 1, 0, 20].map((rows) => recurrentDraft(random, shape, randomTree(random, rows)));
    await onDevice(target, async (device) => {
      using decoding = new RecurrentDecoding(device, parameters, { sequences: 4, dtype });
      decoding.commit(...prefixes);
      const together = await decoding.forward(...drafts);
      let row = 0;
      for (const [s, draft] of drafts.entries()) {
        using single = new RecurrentDecoding(device, parameters, { dtype });
        single.commit(prefixes[s]!);
        const count = draft.rows.length;
        expectSame(await single.forward(draft), rowsOf(together, shape, row, count));
        row += count;
      }
    });
  });

  it.each([true, false])(
    'gives padding zeros and other rows the same bits (trees that the host knows: %p)',
    async (isKnown) => {
      const [random, shape] = [new Random(12), shapeOf(1, 2, 16, 32)];
      const parameters = recurrentParameters(random, shape);
      const drafts = [9, 0, 20].map((rows) => recurrentDraft(random, shape, randomTree(random, rows)));
      const nothing = drafts.map(() => recurrentDraft(random, shape, []));
      await onDevice(target, async (device) => {
        for (const trees of [drafts, nothing]) {
          for (const rows of [1, 35]) {
            const options = { sequences: 3, dtype };
            using plain = new RecurrentDecoding(device, parameters, options);
            using padded = new RecurrentDecoding(device, parameters, {
              ...options,
              padding: { rows, isKnown },
            });
            const expected = await plain.forward(...trees);
            const zeros = (width: number): number[] => new Array<number>(rows * width).fill(0);
            expectSame(await padded.forward(...trees), {
              convolved: Float32Array.from([...expected.convolved, ...zeros(channelsOf(shape))]),
              out: Float32Array.from([...expected.out, ...zeros(2 * 32)]),
            });
            const paths = trees.map(({ parents }) => pathTo(parents, parents.length - 1));
            plain.accept(trees, paths);
            padded.accept(trees, paths);
            expectSameBits(await padded.contents(), await plain.contents());
          }
        }
      });
    },
  );

  it('passes NaN only to descendants of its row', async () => {
    const [random, shape] = [new Random(10), shapeOf(1, 1, 16, 16)];
    const parameters = recurrentParameters(random, shape);
    const draft = recurrentDraft(random, shape, [-1, 0, 1, 1, 2, 3, 4]);
    const rows = draft.rows.map((row, node) => (node === 2 ? { ...row, x: row.x.map(() => NaN) } : row));
    await onDevice(target, async (device) => {
      using decoding = new RecurrentDecoding(device, parameters, { dtype });
      const clean = await decoding.forward(draft);
      const changed = await decoding.forward({ ...draft, rows });
      for (let row = 0; row < 7; row++) {
        const [now, before] = [rowsOf(changed, shape, row, 1), rowsOf(clean, shape, row, 1)];
        if ([2, 4, 6].includes(row)) expect(now.out.every(Number.isNaN)).toBe(true);
        else expectSame(now, before);
      }
    });
  });
});

// Columns are lanes, and every sum has an order of its own. The baseline of x64 has no fused multiply-add.
it('all levels with fused multiply-adds give the same bits', async () => {
  const levels = allIsaLevels.filter((isa) => process.arch !== 'x64' || isa !== 'baseline');
  const [random, shape] = [new Random(4), shapeOf(2, 6, 48, 80)];
  const parameters = recurrentParameters(random, shape);
  const drafts = [7, 20].map((rows) => recurrentDraft(random, shape, randomTree(random, rows)));
  const all = await Promise.all(
    levels.map((isa) =>
      onCpu({ isa, threads: 1 }, async (device) => {
        using decoding = new RecurrentDecoding(device, parameters);
        decoding.accept([drafts[0]!], [pathTo(drafts[0]!.parents, 6)]);
        return { contents: await decoding.contents(), results: await decoding.forward(drafts[1]!) };
      }),
    ),
  );
  for (const { contents, results } of all) {
    expectSameBits(contents, all[0]!.contents);
    expectSame(results, all[0]!.results);
  }
});
