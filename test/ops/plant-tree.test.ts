import type { Device } from '../../lib/tensor/device';
import { plantTree } from '../../lib/tensor/ops/verify-tree';
import type { Tensor } from '../../lib/tensor/tensor';
import { onDeviceOnly } from '../support/cpu';
import { onDevice, targets } from '../support/devices';
import { takeIndices } from '../support/draws';
import { foretokenError } from '../support/errors';

type Make = (device: Device, values: readonly number[]) => Tensor;

const makers: [string, Make][] = [
  ['host', (device, values) => device.tensor(Int32Array.from(values))],
  ['device', onDeviceOnly],
];

describe.each(targets)('plantTree on %s', (target) => {
  const plant = (
    device: Device,
    make: Make,
    { depths = [0, 1, 1, 2, 0, 1], ranks = [0, 0, 1, 0, 0, 2], rowOffsets = [0, 4, 6] } = {},
  ): { tokens: Tensor; positions: Tensor } =>
    plantTree({
      roots: device.tensor(Int32Array.of(7, 8)),
      // [sequences, depths, ranks]: 100 · sequence + 10 · depth + rank
      drafts: device.tensor(Int32Array.of(10, 11, 12, 20, 21, 22, 110, 111, 112, 120, 121, 122), [2, 2, 3]),
      depths: make(device, depths),
      ranks: make(device, ranks),
      rowOffsets: make(device, rowOffsets),
      lengths: make(device, [100, 200]),
    });

  it('puts the drafts of each sequence into its nodes', async () => {
    await onDevice(target, async (device) => {
      for (const [, make] of makers) {
        const { tokens, positions } = plant(device, make);
        expect(await takeIndices(tokens)).toEqual([7, 10, 11, 20, 8, 112]);
        expect(await takeIndices(positions)).toEqual([100, 101, 101, 102, 200, 201]);
        const ragged = { depths: [0, 0, 2], ranks: [5, 0, 1], rowOffsets: [0, 1, 3] };
        if (make === makers[1]![1])
          expect(await takeIndices(plant(device, make, ragged).tokens)).toEqual([7, 8, 121]);
      }
    });
  });

  it.each(makers)('refuses indices out of range that the %s knows', async (_, make) => {
    await onDevice(target, async (device) => {
      const cases: [Parameters<typeof plant>[2], string][] = [
        [{ depths: [0, 1, 1, 3, 0, 1] }, 'depths[3] is 3'],
        [{ depths: [0, 1, -1, 2, 0, 1] }, 'depths[2] is -1'],
        [{ ranks: [0, 0, 3, 0, 0, 2] }, 'ranks[2] is 3'],
        [{ ranks: [0, 0, 1, -2, 0, 2] }, 'ranks[3] is -2'],
      ];
      for (const [change, part] of cases) {
        const error = foretokenError('INDEX_OUT_OF_RANGE', 'plantTree', part);
        const run = async (): Promise<number[]> => takeIndices(plant(device, make, change).tokens);
        await expect(run()).rejects.toEqual(error);
      }
      expect(await takeIndices(plant(device, make).tokens)).toHaveLength(6);
    });
  });
});
