// acceptedRows and chainTokens, by hand and in texts that grow step by step: every row must name the state of its own position,
// and every token must be the text's at its place, or the draft for it.
import type { Device } from '../../../lib/tensor/device';
import {
  acceptedRows,
  chainTokens,
  type AcceptedRowsInputs,
  type AcceptedRowsResult,
  type ChainTokensInputs,
} from '../../../lib/tensor/ops/sampling/accepted-rows';
import { scope } from '../../../lib/tensor/scope';
import type { Tensor } from '../../../lib/tensor/tensor';
import { onCpu, onDeviceOnly } from '../../support/cpu';
import { onDevice, onEachVariant, targets, type Target } from '../../support/devices';
import { takeIndices } from '../../support/draws';
import { foretokenError } from '../../support/errors';
import { Random } from '../../support/random';

type Make = (device: Device, values: readonly number[], shape?: number[]) => Tensor;

const makers = {
  host: (device, values, shape) => device.tensor(Int32Array.from(values), shape),
  'device alone': (device, values, shape) => onDeviceOnly(device, values, shape),
} satisfies Record<string, Make>;

/** Three sequences with up to two open positions and three accepted nodes; the second one does nothing in this step. */
const step = {
  path: [0, 2, -1, -1, -1, -1, 4, 5, 7],
  counts: [2, 0, 3],
  drawn: [50, 51, -1, -1, -1, -1, 60, 61, 62],
  lengths: [7, 4, 9],
  open: [2, 1, 0],
  openTokens: [10, 11, 20, -1, -1, -1],
  rows: 9,
};

function inputsOf(device: Device, make: Make, given: Partial<typeof step> = {}): AcceptedRowsInputs {
  const { path, counts, drawn, lengths, open, openTokens, rows } = { ...step, ...given };
  return {
    path: make(device, path, [3, 3]),
    drawn: make(device, drawn, [3, 3]),
    ...{ counts: make(device, counts), lengths: make(device, lengths), open: make(device, open) },
    ...{ openTokens: make(device, openTokens, [3, 2]), rows },
  };
}

type Read = Record<Exclude<keyof AcceptedRowsResult, 'tree'> | keyof AcceptedRowsResult['tree'], number[]>;

async function read({ tree, ...others }: AcceptedRowsResult): Promise<Read> {
  const entries = Object.entries<Tensor>({ ...tree, ...others });
  const contents = await Promise.all(
    entries.map(async ([name, tensor]) => [name, await takeIndices(tensor)] as const),
  );
  return Object.fromEntries(contents) as Read;
}

const accepted: Read = {
  rowOffsets: [0, 4, 4, 7],
  lengths: [5, 3, 9],
  parents: [-1, 0, 1, 2, -1, 4, 5, -1, -1],
  positions: [5, 6, 7, 8, 9, 10, 11, 0, 0],
  sources: [0, 1, 6, 8, 10, 11, 13, 0, 0],
  following: [10, 11, 50, 51, 0, 0, 0, 0, 0, 0, 60, 61, 62, 0, 0],
  last: [3, 0, 6],
  nextOpen: [2, 1, 2],
  nextOpenTokens: [50, 51, 20, 0, 61, 62],
  kept: [6, 8, 2, 3, 11, 13],
};

/** A sequence of three rows, one without rows, one of one row, and two rows of padding. */
const chains = { head: 4, rows: 6, rowOffsets: [0, 3, 3, 4], columns: 4, depth: 3, width: 2 };

function chainOf(device: Device, make: Make, given: Partial<typeof chains> = {}): ChainTokensInputs {
  const { head, rows, rowOffsets, columns, depth, width } = { ...chains, ...given };
  const counted = (step: number, count: number): number[] =>
    Array.from({ length: count }, (_, i) => 100 + step * i);
  return {
    following: make(device, counted(1, 3 * columns), [3, columns]),
    drafts: make(device, counted(10, 3 * depth * width), [3, depth, width]),
    ...{ rowOffsets: make(device, rowOffsets), head, rows },
  };
}

describe.each(targets)('on %s', (target) => {
  it.each(Object.entries(makers))('rows of inputs that the %s knows', async (_, make) => {
    await onDevice(target, async (device) => {
      expect(await read(acceptedRows(inputsOf(device, make)))).toEqual(accepted);
      expect(await read(acceptedRows(inputsOf(device, make, { rows: 7 })))).toEqual({
        ...accepted,
        parents: accepted.parents.slice(0, 7),
        positions: accepted.positions.slice(0, 7),
        sources: accepted.sources.slice(0, 7),
      });
    });
  });

  it.each(Object.entries(makers))('tokens of inputs that the %s knows', async (_, make) => {
    await onDevice(target, async (device) => {
      const tokens = (head: number): Promise<number[]> =>
        takeIndices(chainTokens(chainOf(device, make, { head })));
      expect(await tokens(2)).toEqual([100, 101, 102, 108, 0, 0]);
      expect(await tokens(3)).toEqual([101, 102, 100, 220, 0, 0]);
      expect(await tokens(4)).toEqual([102, 100, 120, 240, 0, 0]);
      expect(await tokens(5)).toEqual([100, 120, 140, 260, 0, 0]);
    });
  });

  it.each([
    [1, 0, 1],
    [1, 3, 5],
    [3, 1, 2],
    [70, 4, 6],
  ])('%i texts with %i open positions and %i nodes of a path', async (sequences, mostOpen, stride) => {
    await onEachVariant(target, async (device) => {
      await followTexts(device, sequences, mostOpen, stride);
    });
  });
});

/** Paths that a step of several texts accepted. States say to which text and position they belong. */
interface Commit {
  path: number[];
  drawn: number[];
  counts: number[];
  states: string[];
}

const tokenAt = (s: number, position: number): number => 1000 * s + position;
const draftAt = (s: number, depth: number): number => -(1000 * s + depth);
const stateAt = (s: number, position: number): string => `text ${s}, position ${position}`;

/** Accepts up to `stride` nodes of each text, between others that are refused. */
function randomCommit(random: Random, lengths: readonly number[], stride: number): Commit {
  const commit: Commit = { path: [], drawn: [], counts: [], states: [] };
  lengths.forEach((length, s) => {
    const count = Math.max(0, random.integer(stride + 2) - 1);
    commit.counts.push(count);
    for (let i = 0; i < stride; i++) {
      while (random.integer(3) === 0) commit.states.push('refused');
      commit.path.push(i < count ? commit.states.length : -1);
      commit.drawn.push(i < count ? tokenAt(s, length + i + 1) : -1);
      if (i < count) commit.states.push(stateAt(s, length + i));
    }
  });
  return commit;
}

/** Commits random paths for some steps, and checks every row against the texts. */
async function followTexts(device: Device, texts: number, mostOpen: number, stride: number): Promise<void> {
  const random = new Random(texts);
  const heads = Array.from({ length: mostOpen + 1 }, (_, i) => i + 2);
  const lengths = new Array<number>(texts).fill(0);
  const drafts = lengths.flatMap((_, s) => heads.map((_, i) => draftAt(s, i + 1)));
  const open = lengths.slice();
  let openTokens = new Array<number>(texts * mostOpen).fill(0);
  let openStates = openTokens.map(() => 'nothing');
  for (let turn = 0; turn < 6; turn++) {
    const make: Make = Object.values(makers)[turn % 2]!;
    const { path, drawn, counts, states } = randomCommit(random, lengths, stride);
    const rows = texts * (mostOpen + stride) + (turn % 3);
    const { result, chained } = scope(() => {
      const result = acceptedRows({
        path: make(device, path, [texts, stride]),
        drawn: make(device, drawn, [texts, stride]),
        ...{ counts: make(device, counts), lengths: make(device, lengths), open: make(device, open) },
        ...{ openTokens: make(device, openTokens, [texts, mostOpen]), rows },
      });
      const chain = {
        ...{ following: result.following, rowOffsets: result.tree.rowOffsets, rows },
        drafts: device.tensor(Int32Array.from(drafts), [texts, heads.length, 1]),
      };
      return { result, chained: heads.map((head) => chainTokens({ ...chain, head })) };
    });
    const found = await read(result);
    const tokens = await Promise.all(chained.map(takeIndices));
    const allStates = [...openStates, ...states];
    const expected: unknown[][] = [];
    const last: number[] = [];
    const kept: string[] = [];
    counts.forEach((count, s) => {
      const [start, root] = [lengths[s]! - open[s]!, lengths[s]! + count];
      expect([found.lengths[s], found.rowOffsets[s]]).toEqual([start, expected.length]);
      for (let position = start; count > 0 && position < root; position++) {
        const parent = position === start ? -1 : expected.length - 1;
        const read = heads.map((head) => {
          const place = position + head - 1;
          return place <= root ? tokenAt(s, place) : draftAt(s, place - root);
        });
        expected.push([position, parent, stateAt(s, position), ...read]);
      }
      last.push(count > 0 ? expected.length - 1 : 0);
      lengths[s] = root;
      const isOpen = Math.min(mostOpen, root - start);
      open[s] = isOpen;
      for (let i = 0; i < mostOpen; i++) {
        kept.push(i < isOpen ? stateAt(s, root - isOpen + i) : openStates[s * mostOpen + i]!);
      }
    });
    const row = (r: number): unknown[] => [
      ...[found.positions[r], found.parents[r], allStates[found.sources[r]!]],
      ...tokens.map((ofHead) => ofHead[r]),
    ];
    expect(expected.map((_, r) => row(r))).toEqual(expected);
    expect([found.rowOffsets.at(-1), found.last, found.nextOpen]).toEqual([expected.length, last, open]);
    expect(found.kept.map((source) => allStates[source])).toEqual(kept);
    for (let r = expected.length; r < rows; r++) {
      expect(row(r)).toEqual([0, -1, allStates[0], ...heads.map(() => 0)]);
    }
    openTokens = found.nextOpenTokens;
    openStates = found.kept.map((source) => allStates[source]!);
  }
}

/** The addon checks contents that the host knows, so one target is enough for these. */
const onTargets: [keyof typeof makers, Target][] = [
  ['host', targets[0]!],
  ...targets.map((target) => ['device alone', target] as ['device alone', Target]),
];

describe.each(onTargets)('indices known to the %s, on %s', (where, target) => {
  const make = makers[where];

  it.each<[string, Partial<typeof step>, string]>([
    ['a negative count', { counts: [2, -1, 3] }, 'counts[1] is -1, but must be in 0 … 3'],
    ['more nodes than the path has', { counts: [2, 0, 4] }, 'counts[2] is 4, but must be in 0 … 3'],
    ['more open positions than allowed', { open: [3, 1, 0] }, 'open[0] is 3, but must be in 0 … 2'],
    ['negative open positions', { open: [2, 1, -1] }, 'open[2] is -1, but must be in 0 … 2'],
    ['more open positions than there are', { lengths: [7, 0, 9] }, 'lengths[1] is 0, but must be in 1 … '],
    ['a length at the end of int32', { lengths: [2147483647, 4, 9] }, 'lengths[0] is 2147483647'],
    ['a negative row', { path: [0, -1, -1, -1, -1, -1, 4, 5, 7] }, 'path[1] is -1'],
    ['a row too high', { path: [0, 2, -1, -1, -1, -1, 4, 5, 2147483647] }, 'path[8] is 2147483647'],
    [
      'two mistakes, of which the first sequence has one',
      { counts: [2, 0, 4], open: [2, 3, 0] },
      'open[1] is 3',
    ],
    [
      'more rows than the results have room for',
      { rows: 6 },
      'rowOffsets[3] is 7, but must be in 0 … 6 (the rows that the results have room for)',
    ],
    ['no room for the first sequence', { rows: 3 }, 'rowOffsets[1] is 4, but must be in 0 … 3'],
  ])('%s', async (_, given, message) => {
    await onDevice(target, async (device) => {
      const error = foretokenError('INDEX_OUT_OF_RANGE', `acceptedRows: ${message}`);
      await expect((async () => read(acceptedRows(inputsOf(device, make, given))))()).rejects.toEqual(error);
      expect(await read(acceptedRows(inputsOf(device, make)))).toEqual(accepted); // the device stays usable
    });
  });

  it.each<[string, number[], string]>([
    ['offsets that do not begin at 0', [1, 3, 3, 4], 'rowOffsets[0] is 1, but must be in 0 … 0'],
    ['offsets that fall', [0, 3, 2, 4], 'rowOffsets[2] is 2, but must be in 3 … 6'],
    ['more rows than tokens follow', [0, 3, 3, 8], 'rowOffsets[3] is 8, but must be in 3 … 6'],
    ['a sequence of too many rows', [0, 5, 5, 6], 'rowOffsets[1] is 5, but must be in 0 … 4'],
  ])('%s', async (_, rowOffsets, message) => {
    await onDevice(target, async (device) => {
      const error = foretokenError('INDEX_OUT_OF_RANGE', `chainTokens: ${message}`);
      const run = async (change: Partial<typeof chains>): Promise<number[]> =>
        takeIndices(chainTokens(chainOf(device, make, change)));
      await expect(run({ rowOffsets })).rejects.toEqual(error);
      expect(await run({})).toHaveLength(6);
    });
  });
});

describe('shapes', () => {
  const table = (device: Device, ...shape: number[]): Tensor => device.empty(shape, 'int32');

  it.each<[string, (device: Device) => Partial<AcceptedRowsInputs>, ...string[]]>([
    ['a path of one dimension', (device) => ({ path: table(device, 3) }), 'path is [3]'],
    ['drawn of another width', (device) => ({ drawn: table(device, 3, 2) }), 'drawn is [3, 2]', '[3, 3]'],
    ['too few counts', (device) => ({ counts: table(device, 2) }), 'counts is [2]', '[3]'],
    ['too few lengths', (device) => ({ lengths: table(device, 2) }), 'lengths is [2]', '[3]'],
    ['too much that is open', (device) => ({ open: table(device, 4) }), 'open is [4]', '[3]'],
    ['tokens for other sequences', (device) => ({ openTokens: table(device, 2, 2) }), '[2, 2]', '[3, 2]'],
  ])('%s', async (_, change, ...parts) => {
    await onCpu({}, async (device) => {
      const given = { ...inputsOf(device, makers.host), ...change(device) };
      expect(() => acceptedRows(given)).toThrow(foretokenError('SHAPE_MISMATCH', 'acceptedRows', ...parts));
    });
  });

  it.each<[string, (device: Device) => Partial<ChainTokensInputs>, ...string[]]>([
    ['drafts of other sequences', (device) => ({ drafts: table(device, 2, 3, 2) }), 'drafts is [2, 3, 2]'],
    ['no drafts', (device) => ({ drafts: table(device, 3, 3, 0) }), 'drafts has no columns, but head 4'],
    ['too few offsets', (device) => ({ rowOffsets: table(device, 3) }), 'rowOffsets is [3]', '[4]'],
  ])('%s', async (_, change, ...parts) => {
    await onCpu({}, async (device) => {
      const given = { ...chainOf(device, makers.host), ...change(device) };
      expect(() => chainTokens(given)).toThrow(foretokenError('SHAPE_MISMATCH', 'chainTokens', ...parts));
    });
  });

  it.each([1, 6, 2.5])('head %d of three heads that draft', async (head) => {
    await onCpu({}, async (device) => {
      expect(() => chainTokens(chainOf(device, makers.host, { head }))).toThrow(
        foretokenError('INVALID_ARGUMENT', 'chainTokens: head must be'),
      );
    });
  });
});
