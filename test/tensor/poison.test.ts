// With `poison`, which tests open devices with, memory holds no numbers until an operation has written it, whether the memory is new,
// was in use before, or belongs to a capture.
import { capture } from '../../lib/tensor/capture';
import type { Device } from '../../lib/tensor/device';
import { concat } from '../../lib/tensor/ops/layers/elementwise';
import { onDevice, targets as all } from '../support/devices';

const COUNT = 1000;
// The checked emulator reports reads of unwritten memory instead.
const targets = all.filter((target) => target !== 'cuda-checked');

async function contents(
  device: Device,
  dtype: 'float32' | 'bfloat16' | 'float16' | 'int32',
): Promise<unknown> {
  using tensor = device.empty([COUNT], dtype);
  return new Set(await tensor.data());
}

describe.each(targets)('on %s', (target) => {
  test.each([
    ['float32', NaN],
    ['int32', -1],
    ['bfloat16', 0xffff],
    ['float16', 0xffff],
  ] as const)('%s holds %d', async (dtype, poison) => {
    await onDevice(target, async (device) => {
      expect(await contents(device, dtype)).toEqual(new Set([poison]));
      if (dtype === 'int32') device.tensor(new Int32Array(COUNT)).dispose();
      else device.zeros([COUNT], dtype).dispose();
      const { reserved } = device.memory();
      expect(await contents(device, dtype)).toEqual(new Set([poison]));
      expect(device.memory().reserved).toBe(reserved);
    });
  });

  test('every replay of a capture begins with poisoned memory', async () => {
    await onDevice(target, async (device) => {
      using captured = capture(device, () => ({ out: device.empty([COUNT]) }));
      const { out } = captured.result;
      out.fill(1);
      captured.replay();
      expect(new Set(await out.data())).toEqual(new Set([NaN]));
    });
  });

  test('elements that an operation does not write stay poisoned', async () => {
    await onDevice(target, async (device) => {
      const out = concat(device.empty([2, 1]), device.tensor(Float32Array.of(1, 2), [2, 1]));
      expect(Array.from(await out.data())).toEqual([NaN, 1, NaN, 2]);
    });
  });
});
