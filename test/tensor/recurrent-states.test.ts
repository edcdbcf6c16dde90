// The memory of RecurrentStates: how it grows, who holds it, and what is refused.
import { native } from '../../lib/native/load';
import { capture } from '../../lib/tensor/capture';
import { openDevice, type Device } from '../../lib/tensor/device';
import { commitRecurrent } from '../../lib/tensor/ops/recurrent/commit-recurrent';
import { gatedDelta } from '../../lib/tensor/ops/recurrent/gated-delta';
import { shortConvolution } from '../../lib/tensor/ops/recurrent/short-convolution';
import { RecurrentStates, type RecurrentStatesOptions } from '../../lib/tensor/recurrent-states';
import { Tensor } from '../../lib/tensor/tensor';
import { expectSameBits } from '../support/accuracy';
import { take } from '../support/cpu';
import { chain, pathTo, randomTree } from '../support/decoding-cache';
import { isEmulated, onDevice, targets } from '../support/devices';
import { foretokenError } from '../support/errors';
import { Random } from '../support/random';
import { channelsOf, RecurrentDecoding, recurrentDraft, recurrentParameters } from '../support/recurrent';

const shape = { keyHeads: 1, valueHeads: 2, keyDim: 16, valueDim: 32, taps: 4 };
const sizes: RecurrentStatesOptions = { ...shape, layers: 2, sequences: 4 };
const BLOCK_BYTES = 2 * (2 * 16 * 32 + 3 * channelsOf(shape)) * 4;

describe.each(targets)('the memory of RecurrentStates on %s', (target) => {
  it('doubles, but not beyond what the sequences can use', async () => {
    await onDevice(target, async (device) => {
      using states = new RecurrentStates(device, sizes);
      const blocks = (): number => states.bytes / BLOCK_BYTES;
      expect([states.channels, states.sequences, blocks()]).toEqual([96, 4, 0]);
      const seen = [0, 2, 1, 3].map((s) => {
        states.reserve(s);
        states.reserve(s);
        return blocks();
      });
      expect(seen).toEqual([1, 2, 4, 4]);
      for (const s of [0, 1, 1]) states.release(s);
      states.reserve(1);
      expect(blocks()).toBe(4);
      using three = new RecurrentStates(device, { ...sizes, sequences: 3 });
      for (const s of [0, 1, 2]) three.reserve(s);
      expect(three.bytes).toBe(3 * BLOCK_BYTES);
    });
  });

  it('that runs out leaves the states as they were', async () => {
    const device = openDevice(isEmulated(target) ? 'cuda-emulated' : target === 'cuda' ? 'cuda' : 'cpu', {
      memoryLimit: 2.5 * BLOCK_BYTES,
    });
    try {
      using states = new RecurrentStates(device, sizes);
      states.reserve(3);
      states.reserve(0);
      const before = [states.bytes, device.memory().live];
      expect(() => states.reserve(1)).toThrow(foretokenError('OUT_OF_MEMORY', 'recurrentReserve'));
      expect(() => states.copy(0, 1)).toThrow(foretokenError('OUT_OF_MEMORY', 'recurrentCopy'));
      expect([states.bytes, device.memory().live]).toEqual(before);
      states.release(0);
      states.reserve(1);
      await device.synchronize();
    } finally {
      device.dispose();
    }
  });

  it('is copied whole, and cleared for the next sequence', async () => {
    await onDevice(target, async (device) => {
      const random = new Random(3);
      const parameters = recurrentParameters(random, shape);
      using decoding = new RecurrentDecoding(device, parameters, { layers: 2, sequences: 3 });
      const { states } = decoding;
      const blockOf = (s: number): Promise<Float32Array> =>
        take(new Tensor(device, native.recurrentBlock(states.handle, s)));
      const drafts = [3, 0, 7].map((rows) => recurrentDraft(random, shape, chain(rows)));
      decoding.commit(...drafts);
      const [first, last] = [await blockOf(0), await blockOf(2)];
      expect(first.every((x) => x !== 0)).toBe(true);
      states.release(1);
      states.copy(2, 1);
      expectSameBits(await blockOf(1), last);
      states.copy(0, 1);
      states.copy(0, 0);
      for (const s of [0, 1]) expectSameBits(await blockOf(s), first);
      expectSameBits(await blockOf(2), last);
      states.release(2);
      states.reserve(2);
      expectSameBits(await blockOf(2), new Float32Array(last.length));
    });
  });

  it('belongs to the captures that use it, too', async () => {
    await onDevice(target, async (device) => {
      const live = device.memory().live;
      const states = new RecurrentStates(device, sizes);
      states.reserve(2);
      const tree = {
        rowOffsets: device.tensor(Int32Array.of(0, 1)),
        lengths: device.tensor(Int32Array.of(0)),
        parents: device.tensor(Int32Array.of(-1)),
      };
      const x = device.zeros([1, channelsOf(shape)]).fill(1);
      const weight = device.zeros([channelsOf(shape), 4]).fill(1);
      states.reserve(0);
      const step = capture(device, () => ({ out: shortConvolution(states, 0, x, weight, tree) }));
      const held = device.memory().live;
      states.dispose();
      states.dispose();
      expect(device.memory().live).toBe(held);
      step.replay();
      const out = await take(step.result.out);
      expect(out.every((value) => Math.abs(value - 1 / (1 + Math.exp(-1))) < 1e-6)).toBe(true);
      step.dispose();
      for (const tensor of [x, weight, ...Object.values(tree)]) tensor.dispose();
      expect(device.memory().live).toBe(live);
    });
  });

  it('stays in place while captured steps go on and sequences get and give back states', async () => {
    const [sequences, rows] = [3, 12];
    await onDevice(target, async (device) => {
      const random = new Random(31);
      const parameters = recurrentParameters(random, shape);
      const channels = channelsOf(shape);
      using states = new RecurrentStates(device, { ...shape, layers: 1, sequences });
      states.reserve(0);
      const alone = Array.from({ length: sequences }, () => new RecurrentDecoding(device, parameters));
      const ints = (...dims: number[]): Tensor => device.empty(dims, 'int32');
      const tree = {
        rowOffsets: ints(sequences + 1),
        lengths: ints(sequences),
        parents: ints(rows),
      };
      const [x, a, b] = [channels, 2, 2].map((width) => device.zeros([rows, width]));
      const gates = {
        ...{ a: a!, b: b! },
        ...{ decay: device.tensor(parameters.decay), bias: device.tensor(parameters.bias) },
      };
      const weight = device.tensor(parameters.weight, [channels, shape.taps]);
      const [path, counts] = [ints(sequences, rows), ints(sequences)];
      using forward = capture(device, () => {
        const qkv = shortConvolution(states, 0, x!, weight, tree);
        return { qkv, out: gatedDelta(states, 0, { qkv, ...gates }, tree) };
      });
      const { qkv, out } = forward.result;
      using commit = capture(device, () => {
        commitRecurrent(states, 0, { x: x!, qkv, ...gates }, tree.rowOffsets, path, counts);
        return {};
      });
      let has = [true, false, false];
      for (let round = 0; round < (isEmulated(target) ? 8 : 30); round++) {
        const drafts = has.map((each) =>
          recurrentDraft(random, shape, randomTree(random, each ? random.integer(5) : 0)),
        );
        const offsets = [0];
        for (const { parents } of drafts) offsets.push(offsets.at(-1)! + parents.length);
        const all = drafts.flatMap((draft) => draft.rows);
        const parents = drafts.flatMap((draft, s) =>
          draft.parents.map((parent) => (parent < 0 ? -1 : offsets[s]! + parent)),
        );
        const padded = (values: readonly number[], count: number): Int32Array =>
          Int32Array.from({ length: count }, (_, i) => values[i] ?? -9);
        tree.rowOffsets.write(Int32Array.from(offsets));
        tree.parents.write(padded(parents, rows));
        for (const [tensor, name] of [[x!, 'x'] as const, [a!, 'a'] as const, [b!, 'b'] as const]) {
          const values = new Float32Array(rows * tensor.shape[1]!).fill(NaN);
          all.forEach((row, i) => values.set(row[name], i * tensor.shape[1]!));
          tensor.write(values);
        }
        forward.replay();
        const together = (await out.data()) as Float32Array;
        const paths = drafts.map((draft) => pathTo(draft.parents, draft.parents.length - 1));
        const nodes = paths.flatMap((each, s) => [
          ...padded(
            each.map((node) => offsets[s]! + node),
            rows,
          ),
        ]);
        path.write(Int32Array.from(nodes));
        counts.write(Int32Array.from(paths, ({ length }) => length));
        commit.replay();
        let from = 0;
        for (const [s, draft] of drafts.entries()) {
          const expected = (await alone[s]!.forward(draft)).out;
          expectSameBits(together.slice(from, (from += expected.length)), expected);
          alone[s]!.accept([draft], [paths[s]!]);
        }
        const s = random.integer(sequences);
        if (has[s]) states.release(s);
        else states.reserve(s);
        if (has[s]) alone[s]![Symbol.dispose]();
        if (has[s]) alone[s] = new RecurrentDecoding(device, parameters);
        has = has.map((each, i) => (i === s ? !each : each));
      }
    });
  });
});

describe('RecurrentStates refuse', () => {
  let device: Device;
  beforeEach(() => (device = openDevice('cpu', { threads: 1, poison: true })));
  afterEach(() => device.dispose());

  it.each<[string, Partial<RecurrentStatesOptions>]>([
    ['RecurrentStates: layers must be an integer from 0 to 2147483647, but is -1', { layers: -1 }],
    ['RecurrentStates: keyHeads must be an integer from 1 to 1024, but is 0', { keyHeads: 0 }],
    ['RecurrentStates: valueHeads must be an integer from 1 to 1024, but is 1025', { valueHeads: 1025 }],
    ['valueHeads must be a multiple of keyHeads, but they are 5 and 2', { keyHeads: 2, valueHeads: 5 }],
    ['RecurrentStates: keyDim must be an integer from 16 to 256, but is 8', { keyDim: 8 }],
    ['keyDim must be a multiple of 16, but is 24', { keyDim: 24 }],
    ['RecurrentStates: valueDim must be an integer from 16 to 256, but is 272', { valueDim: 272 }],
    ['valueDim must be a multiple of 16, but is 255', { valueDim: 255 }],
    ['RecurrentStates: taps must be an integer from 2 to 8, but is 1', { taps: 1 }],
    ['RecurrentStates: taps must be an integer from 2 to 8, but is 9', { taps: 9 }],
    ['RecurrentStates: sequences must be an integer from 1 to 65536, but is 0', { sequences: 0 }],
  ])('sizes: %s', (message, changed) => {
    expect(() => new RecurrentStates(device, { ...sizes, ...changed })).toThrow(
      foretokenError('INVALID_ARGUMENT', message),
    );
  });

  it('sequences that do not exist or have no state', () => {
    using states = new RecurrentStates(device, sizes);
    const outside = (name: string): Error =>
      foretokenError('INVALID_ARGUMENT', `RecurrentStates: ${name} must be an integer from 0 to 3, but is 4`);
    expect(() => states.reserve(4)).toThrow(outside('sequence'));
    expect(() => states.release(4)).toThrow(outside('sequence'));
    expect(() => states.copy(4, 0)).toThrow(outside('from'));
    expect(() => states.copy(0, 4)).toThrow(outside('to'));
    expect(() => states.copy(1, 0)).toThrow(
      foretokenError('INVALID_ARGUMENT', 'recurrentCopy: from is 1, but must be a sequence with a state'),
    );
  });

  it('changes of their memory inside a capture', () => {
    using states = new RecurrentStates(device, sizes);
    states.reserve(1);
    const changes = [
      () => states.reserve(0),
      () => states.release(1),
      () => states.copy(1, 0),
      () => new RecurrentStates(device, sizes),
    ];
    for (const change of changes) {
      const inside = (): unknown => capture(device, () => (change(), {}));
      expect(inside).toThrow(foretokenError('UNSUPPORTED', 'not possible during a capture'));
    }
  });

  it('more memory than there may be', () => {
    using states = new RecurrentStates(device, { ...sizes, layers: 2 ** 31 - 1, keyDim: 256, valueDim: 256 });
    expect(() => states.reserve(0)).toThrow(foretokenError('OUT_OF_MEMORY', 'recurrentReserve'));
  });

  it('everything after they, or their device, were disposed of', () => {
    const states = new RecurrentStates(device, sizes);
    const other = new RecurrentStates(device, sizes);
    states.dispose();
    const gone = foretokenError(
      'INVALID_HANDLE',
      'states was disposed or is not the states of recurrent layers',
    );
    expect(() => states.reserve(0)).toThrow(gone);
    expect(() => states.release(0)).toThrow(gone);
    expect(() => states.copy(0, 1)).toThrow(gone);
    expect(() => states.bytes).toThrow(gone);
    device.dispose();
    expect(() => other.reserve(0)).toThrow(gone);
    other.dispose();
  });
});
