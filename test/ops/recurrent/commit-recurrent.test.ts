// Refusals of the operations of recurrent layers: by name, before they run if the host knows the contents, otherwise by the next
// readback, with the states as they were.
import { gatedDelta } from '../../../lib/tensor/ops/recurrent/gated-delta';
import { commitRecurrent } from '../../../lib/tensor/ops/recurrent/commit-recurrent';
import { shortConvolution } from '../../../lib/tensor/ops/recurrent/short-convolution';
import type { TreeRows } from '../../../lib/tensor/ops/attention/kv-cache';
import type { Device } from '../../../lib/tensor/device';
import { RecurrentStates } from '../../../lib/tensor/recurrent-states';
import type { Tensor } from '../../../lib/tensor/tensor';
import { native } from '../../../lib/native/load';
import { Tensor as TensorClass } from '../../../lib/tensor/tensor';
import { onCpu, onDeviceOnly, take } from '../../support/cpu';
import { onDevice, targets } from '../../support/devices';
import { foretokenError } from '../../support/errors';
import { Random } from '../../support/random';
import { channelsOf } from '../../support/recurrent';

const shape = { keyHeads: 1, valueHeads: 2, keyDim: 16, valueDim: 16, taps: 3 };
const channels = channelsOf(shape);

/** States of three sequences, of which the first two have one. */
function makeStates(device: Device): RecurrentStates {
  const states = new RecurrentStates(device, { ...shape, layers: 2, sequences: 3 });
  states.reserve(0);
  states.reserve(1);
  return states;
}

function makeInputs(device: Device, rows: number) {
  const random = new Random(rows);
  const matrix = (width: number): Tensor => device.tensor(random.floats(rows * width), [rows, width]);
  return {
    ...{ x: matrix(channels), qkv: matrix(channels), a: matrix(2), b: matrix(2) },
    ...{ decay: device.zeros([2]), bias: device.zeros([2]) },
  };
}

const weightOf = (device: Device): Tensor => device.zeros([channels, shape.taps]).fill(0.5);

const deltaOf = ({ qkv, a, b, decay, bias }: ReturnType<typeof makeInputs>) => ({ qkv, a, b, decay, bias });

async function blockOf(states: RecurrentStates, sequence: number): Promise<Float32Array> {
  return take(new TensorClass(states.device, native.recurrentBlock(states.handle, sequence)));
}

const knowers = targets.flatMap((target) => [['host', target] as const, ['device', target] as const]);

describe.each(knowers)('indices known to the %s on %s', (where, target) => {
  const index = (device: Device, values: readonly number[], dims: number[] = [values.length]): Tensor =>
    where === 'host' ? device.tensor(Int32Array.from(values), dims) : onDeviceOnly(device, values, dims);

  const room = '(at most 256 rows a sequence, none before its state is reserved)';

  // Sequences 0 and 1 have states, sequence 2 has none; 5 rows.
  it.each([
    ['rowOffsets[0] is 1, but must be in 0 … 0', [1, 3, 5, 5], [-1, 0, 0, -1, 3]],
    ['rowOffsets[1] is -1, but must be in 0 … 256 (at most 256', [0, -1, 5, 5], [-1, 0, 0, -1, 3]],
    ['rowOffsets[1] is 257, but must be in 0 … 256 (at most 256', [0, 257, 5, 5], [-1, 0, 0, -1, 3]],
    [`rowOffsets[3] is 5, but must be in 4 … 4 ${room}`, [0, 3, 4, 5], [-1, 0, 0, -1, -1]],
    ['rowOffsets[3] is 6, but must be in 0 … 5 (the number of rows)', [0, 3, 6, 6], [-1, 0, 0, -1, 3]],
    ['parents[1] is 1, but must be in 0 … 0', [0, 3, 5, 5], [-1, 1, 0, -1, 3]],
    ['parents[2] is 2147483647, but must be in 0 … 1', [0, 3, 5, 5], [-1, 0, 2 ** 31 - 1, -1, 3]],
    ['parents[4] is 2, but must be in 3 … 3', [0, 3, 5, 5], [-1, 0, 0, -1, 2]],
    ['parents[0] is -2, but must be in 0 … -1 (earlier rows', [0, 3, 5, 5], [-2, 0, 0, -1, 3]],
  ])('a malformed tree is refused: %s', async (message, rowOffsets, parents) => {
    await onDevice(target, async (device) => {
      using states = makeStates(device);
      const inputs = makeInputs(device, 5);
      const weight = weightOf(device);
      const tree: TreeRows = {
        rowOffsets: index(device, rowOffsets),
        lengths: index(device, [0, 0, -7]), // only the number matters
        parents: index(device, parents),
      };
      const calls: [string, () => Tensor][] = [
        ['shortConvolution', () => shortConvolution(states, 0, inputs.x, weight, tree)],
        ['gatedDelta', () => gatedDelta(states, 1, deltaOf(inputs), tree)],
      ];
      for (const [name, call] of calls) {
        const run = async (): Promise<void> => {
          call();
          await device.synchronize();
        };
        await expect(run()).rejects.toEqual(foretokenError('INDEX_OUT_OF_RANGE', `${name}: `, message));
      }
      tree.rowOffsets.write(Int32Array.of(0, 3, 5, 5));
      tree.parents.write(Int32Array.of(-1, 0, 0, -1, 3));
      for (const [, call] of calls) call();
      await device.synchronize();
    });
  });

  it.each([
    [`rowOffsets[3] is 5, but must be in 4 … 4 ${room}`, [0, 3, 4, 5], [0, 0, 1], [-1, -1, -1, -1, 4, -1]],
    ['rowOffsets[3] is 6, but must be in 0 … 5 (the number of rows)', [0, 3, 6, 6], [0, 0, 0], []],
    ['counts[0] is 3, but must be in 0 … 2 (the rows of the', [0, 3, 5, 5], [3, 0, 0], [0, 1, -1, -1]],
    ['counts[1] is -1, but must be in 0 … 2', [0, 3, 5, 5], [2, -1, 0], [0, 1]],
    ['counts[2] is 1, but must be in 0 … 0', [0, 3, 5, 5], [2, 1, 1], [0, 1, 3, -1, 0]],
    ['path[0] is -1, but must be in 0 … 2', [0, 3, 5, 5], [1, 0, 0], [-1]],
    ['path[1] is 1, but must be in 2 … 2 (ascending rows of the sequence)', [0, 3, 5, 5], [2, 0, 0], [1, 1]],
    ['path[2] is 2, but must be in 3 … 4', [0, 3, 5, 5], [0, 1, 0], [-1, -1, 2]],
    ['path[3] is 5, but must be in 4 … 4', [0, 3, 5, 5], [0, 2, 0], [-1, -1, 3, 5]],
  ])('an invalid path is refused: %s', async (message, rowOffsets, counts, path) => {
    await onDevice(target, async (device) => {
      using states = makeStates(device);
      const inputs = makeInputs(device, 5);
      const padded = Array.from({ length: 6 }, (_, i) => path[i] ?? -1);
      const commit = async (): Promise<void> => {
        commitRecurrent(
          ...([states, 1, inputs, index(device, rowOffsets)] as const),
          ...([index(device, padded, [3, 2]), index(device, counts)] as const),
        );
        await device.synchronize();
      };
      await expect(commit()).rejects.toEqual(
        foretokenError('INDEX_OUT_OF_RANGE', 'commitRecurrent: ', message),
      );
      for (const s of [0, 1]) expect((await blockOf(states, s)).every((x) => x === 0)).toBe(true);
    });
  });
});

it('names arguments that do not match', async () => {
  await onCpu({}, async (device) => {
    using states = makeStates(device);
    const inputs = makeInputs(device, 2);
    const { x, qkv, a } = inputs;
    const weight = weightOf(device);
    const tree = {
      rowOffsets: device.tensor(Int32Array.of(0, 2)),
      lengths: device.tensor(Int32Array.of(0)),
      parents: device.tensor(Int32Array.of(-1, 0)),
    };
    const mismatch = (...parts: string[]): Error => foretokenError('SHAPE_MISMATCH', ...parts);
    const invalid = (...parts: string[]): Error => foretokenError('INVALID_ARGUMENT', ...parts);
    expect(() => shortConvolution(x as never, 0, x, weight, tree)).toThrow(
      invalid('shortConvolution: states must be RecurrentStates'),
    );
    expect(() => shortConvolution(states, 2, x, weight, tree)).toThrow(invalid('layer', '0 … 1', '2'));
    expect(() => shortConvolution(states, 0, a, weight, tree)).toThrow(
      mismatch('x is [2, 2]', `[2, ${channels}]`),
    );
    expect(() => shortConvolution(states, 0, x, device.zeros([channels, 4]), tree)).toThrow(
      mismatch(`weight is [${channels}, 4], but must be [${channels}, 3]`),
    );
    const many = device.tensor(new Int32Array(4));
    expect(() => shortConvolution(states, 0, x, weight, { ...tree, lengths: many })).toThrow(
      mismatch('lengths is [4], but must have 1 … 3 elements'),
    );
    expect(() => shortConvolution(states, 0, x, weight, { ...tree, parents: many })).toThrow(
      mismatch('parents is [4], but must be [2]'),
    );
    const delta = deltaOf(inputs);
    const one = device.zeros([1, 2]);
    expect(() => gatedDelta(states, 0, { ...delta, a: one }, tree)).toThrow(mismatch('a is [1, 2]'));
    expect(() => gatedDelta(states, 0, { ...delta, b: one }, tree)).toThrow(mismatch('b is [1, 2]'));
    expect(() => gatedDelta(states, 0, { ...delta, decay: one }, tree)).toThrow(
      mismatch('decay is [1, 2], but must be [2]'),
    );
    expect(() => gatedDelta(states, 0, { ...delta, bias: one }, tree)).toThrow(mismatch('bias is [1, 2]'));
    expect(() => gatedDelta(states, 0, { ...delta, bias: many }, tree)).toThrow(
      foretokenError('DTYPE_MISMATCH', 'gatedDelta: bias must be float32, but is int32'),
    );
    expect(() => gatedDelta(states, 0, { ...delta, qkv: 1 as never }, tree)).toThrow(
      invalid('gatedDelta: inputs.qkv must be a tensor'),
    );
    const [path, counts] = [device.tensor(Int32Array.of(0, 1), [1, 2]), device.tensor(Int32Array.of(2))];
    const { rowOffsets } = tree;
    const commit =
      (changed: Partial<typeof inputs>, ...rest: [Tensor, Tensor, Tensor]) =>
      () =>
        commitRecurrent(states, 0, { ...inputs, ...changed }, ...rest);
    expect(commit({ x: device.zeros([1, channels]) }, rowOffsets, path, counts)).toThrow(
      mismatch(`qkv is [2, ${channels}], but must be [1, ${channels}]`),
    );
    expect(commit({}, counts, path, counts)).toThrow(mismatch('rowOffsets is [1], but must be [2]'));
    expect(commit({}, rowOffsets, counts, counts)).toThrow(mismatch('path is [1]', '2 dimensions'));
    expect(commit({}, rowOffsets, path, many)).toThrow(mismatch('counts is [4], but must have 1 … 3'));
    expect(commit({}, rowOffsets, path, qkv)).toThrow(
      foretokenError('DTYPE_MISMATCH', 'commitRecurrent: counts must be int32'),
    );
  });
});
