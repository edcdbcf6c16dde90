// Memory during a capture: trim, out of memory, and operations that fail. Memory that earlier work or the capture itself uses
// must not be freed; the checked emulator reports every access to freed memory.
import { native } from '../../lib/native/load';
import { capture } from '../../lib/tensor/capture';
import { openDevice, type Device } from '../../lib/tensor/device';
import type { DeviceName, DeviceOptions } from '../../lib/tensor/device-options';
import { add, scale } from '../../lib/tensor/ops/layers/elementwise';
import { linear } from '../../lib/tensor/ops/linear/linear';
import type { Tensor } from '../../lib/tensor/tensor';
import { foretokenError } from '../support/errors';

const SIZE = 5000;
const BYTES = 4 * SIZE;

const kinds: [string, DeviceName, DeviceOptions][] = [
  ['the CPU', 'cpu', { threads: 2 }],
  ['the emulated GPU', 'cuda-emulated', {}],
  ['the emulated GPU, checked', 'cuda-emulated', { emulator: { checked: true } }],
];

/** Enqueues work that takes a while, on memory that only this work still uses. */
function busy(device: Device): Tensor {
  let sum = device.empty([SIZE]).fill(0);
  for (let i = 1; i <= 20; i++) {
    using term = device.empty([SIZE]).fill(i);
    using before = sum;
    sum = add(before, term);
  }
  return sum;
}

const same = (value: number, count = SIZE): Float32Array => new Float32Array(count).fill(value);

describe.each(kinds)('on %s', (_, name, options) => {
  /** Runs `fn` on its own device. Expects that the device works afterwards, and that no memory or tensor is left. */
  async function onDevice(more: DeviceOptions, fn: (device: Device) => Promise<void>): Promise<void> {
    const tensors = native.liveTensors();
    using device = openDevice(name, { ...options, ...more });
    await fn(device);
    using one = device.tensor(Float32Array.of(1));
    using replayed = capture(device, () => ({ two: add(one, one) }));
    replayed.replay();
    expect(await replayed.result.two.data()).toEqual(Float32Array.of(2));
    replayed.dispose();
    one.dispose();
    expect(device.memory().live).toBe(0);
    expect(native.liveTensors()).toBe(tensors);
    device.trim();
    expect(device.memory().reserved).toBe(0);
  }

  test('trim frees memory that nothing uses, after the earlier work has finished', async () => {
    await onDevice({}, async (device) => {
      using x = device.empty([SIZE]).fill(3);
      using before = busy(device);
      const { reserved } = device.memory();
      using captured = capture(device, () => {
        const y = scale(x, 2);
        device.trim();
        expect(device.memory().reserved).toBeLessThan(reserved);
        const z = add(y, x);
        device.trim();
        return { z };
      });
      for (let i = 0; i < 2; i++) captured.replay();
      expect(await captured.result.z.data()).toEqual(same(9));
      expect(await before.data()).toEqual(same(210));
    });
  });

  test('cached memory makes room for the memory that a capture needs', async () => {
    await onDevice({ memoryLimit: 8 * BYTES }, async (device) => {
      using before = busy(device);
      using captured = capture(device, () => {
        // No cached block is as large, and the limit leaves no room for another block.
        using large = device.empty([3 * SIZE]).fill(1);
        return { y: scale(large, 2) };
      });
      captured.replay();
      expect(await captured.result.y.data()).toEqual(same(2, 3 * SIZE));
      expect(await before.data()).toEqual(same(210));
    });
  });

  test('out of memory ends the capture, after which the device works', async () => {
    await onDevice({ memoryLimit: 8 * BYTES }, async (device) => {
      using before = busy(device);
      const { live } = device.memory();
      const greedy = (): Record<string, Tensor> => {
        const sums = [before];
        for (;;) sums.push(add(sums.at(-1)!, before));
      };
      expect(() => capture(device, greedy)).toThrow(foretokenError('OUT_OF_MEMORY', 'add: out of memory'));
      expect(device.memory().live).toBe(live);
      using after = scale(before, 2);
      expect(await after.data()).toEqual(same(420));
    });
  });

  test('an out-of-memory error that is caught leaves the rest of the capture intact', async () => {
    await onDevice({ memoryLimit: 8 * BYTES }, async (device) => {
      using x = device.empty([SIZE]).fill(3);
      using captured = capture(device, () => {
        const y = scale(x, 2);
        expect(() => device.empty([8 * SIZE])).toThrow(foretokenError('OUT_OF_MEMORY', 'empty'));
        return { z: add(x, y) };
      });
      captured.replay();
      expect(await captured.result.z.data()).toEqual(same(9));
    });
  });

  test('an op with wrong arguments leaves the rest of the capture intact', async () => {
    await onDevice({}, async (device) => {
      using x = device.empty([SIZE]).fill(3);
      using other = device.empty([7]).fill(3);
      using captured = capture(device, () => {
        const y = scale(x, 2);
        expect(() => add(y, other)).toThrow(foretokenError('SHAPE_MISMATCH', 'add'));
        return { z: add(x, y) };
      });
      captured.replay();
      expect(await captured.result.z.data()).toEqual(same(9));
    });
  });

  test('uploads of a capture that is disposed during another capture, while it may still run', async () => {
    await onDevice({}, async (device) => {
      using out = device.empty([SIZE]).fill(0);
      const first = capture(device, () => {
        busy(device).dispose();
        out.copyFrom(device.tensor(same(5)));
        return {};
      });
      first.replay();
      using second = capture(device, () => {
        first.dispose();
        // Of the same size: if the contents of the first upload counted as free, this upload would overwrite them.
        return { y: add(out, device.tensor(same(7))) };
      });
      second.replay();
      expect(await second.result.y.data()).toEqual(same(12));
    });
  });

  test('scratch of an op is allocated from the capture and returned to it', async () => {
    await onDevice({}, async (device) => {
      using x = device.empty([40, 64]).fill(1);
      using weight = device.empty([48, 64]).fill(2);
      using captured = capture(device, () => {
        const first = linear(x, weight);
        device.trim();
        return { y: add(first, linear(x, weight)) };
      });
      captured.replay();
      expect(await captured.result.y.data()).toEqual(same(256, 40 * 48));
    });
  });
});

test('a call that fails during a capture ends the capture, even if its error is caught', async () => {
  const inside: unknown[] = [];
  for (let refused = 1; ; refused++) {
    const tensors = native.liveTensors();
    let device: Device | undefined;
    try {
      device = openDevice('cuda-emulated', { emulator: { refused } });
      using x = device.empty([SIZE]).fill(3);
      const { live } = device.memory();
      let caught: unknown;
      const careless = (): Record<string, Tensor> => {
        try {
          scale(x, 2).dispose();
        } catch (error) {
          caught = error;
        }
        return { y: device!.empty([SIZE]) };
      };
      try {
        capture(device, careless).dispose();
      } catch (error) {
        expect(device.memory().live).toBe(live);
        if (caught !== undefined) {
          inside.push(caught);
          expect(error).toEqual(
            foretokenError(
              'INTERNAL',
              'capture: cudaStreamEndCapture failed with cudaErrorStreamCaptureInvalidated',
            ),
          );
        }
        using doubled = capture(device, () => ({ y: scale(x, 2) }));
        doubled.replay();
        expect(await doubled.result.y.data()).toEqual(same(6));
        continue;
      }
      break; // no call was refused
    } catch (error) {
      expect(error).toEqual(foretokenError(device ? 'INTERNAL' : 'DEVICE_UNAVAILABLE'));
    } finally {
      device?.dispose();
      expect(native.liveTensors()).toBe(tensors);
    }
  }
  expect(inside).toEqual([foretokenError('INTERNAL', 'scale of count 5000: cudaLaunchKernelEx failed')]);
});
