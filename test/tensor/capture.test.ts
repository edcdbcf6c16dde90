import { ForetokenError } from '../../lib/errors';
import { capture } from '../../lib/tensor/capture';
import type { Device } from '../../lib/tensor/device';
import { add, scale } from '../../lib/tensor/ops/layers/elementwise';
import { embedding } from '../../lib/tensor/ops/layers/embedding';
import { linear } from '../../lib/tensor/ops/linear/linear';
import { rmsNorm } from '../../lib/tensor/ops/layers/rms-norm';
import type { Tensor } from '../../lib/tensor/tensor';
import { onCpu, take } from '../support/cpu';
import { foretokenError } from '../support/errors';
import { Random } from '../support/random';

const floats = (device: Device, ...values: number[]): Tensor => device.tensor(Float32Array.from(values));

test('runs nothing until it is replayed, and then reads the current contents of its inputs', async () => {
  await onCpu({}, async (device) => {
    const x = floats(device, 1, 2);
    const out = floats(device, 0, 0);
    const doubled = capture(device, () => {
      out.copyFrom(scale(x, 2));
      return { sum: add(x, out) };
    });
    expect(Array.from(await out.data())).toEqual([0, 0]);
    doubled.replay();
    expect(Array.from(await doubled.result.sum.data())).toEqual([3, 6]);
    x.write(Float32Array.of(10, 20));
    doubled.replay();
    doubled.replay();
    expect(Array.from(await out.data())).toEqual([20, 40]);
    expect(Array.from(await doubled.result.sum.data())).toEqual([30, 60]);
    doubled.dispose();
  });
});

test('gives the same bits as the operations without a capture', async () => {
  await onCpu({}, async (device) => {
    const random = new Random(1);
    const x = device.tensor(random.floats(7 * 48, 1), [7, 48]);
    const weight = device.tensor(random.floats(96 * 48, 1), [96, 48]);
    const norm = device.tensor(random.floats(48, 1));
    const run = (): Tensor => linear(rmsNorm(x, norm, 1e-5), weight);
    using captured = capture(device, () => ({ y: run() }));
    captured.replay();
    expect(await captured.result.y.data()).toEqual(await take(run()));
  });
});

test('contains the uploads inside', async () => {
  await onCpu({}, async (device) => {
    const x = floats(device, 1, 2);
    using captured = capture(device, () => ({ y: add(x, floats(device, 100, 200)) }));
    captured.replay();
    expect(Array.from(await captured.result.y.data())).toEqual([101, 202]);
  });
});

test('shares its memory with no other tensor, and keeps its inputs alive', async () => {
  await onCpu({}, async (device) => {
    const x = floats(device, 1, 2, 3);
    using captured = capture(device, () => ({ y: add(scale(scale(x, 2), 3), x) }));
    x.dispose();
    for (let round = 0; round < 3; round++) {
      // A tensor on memory of the capture, or of x, would be overwritten or overwrite it.
      const others = Array.from({ length: 20 }, (_, i) => floats(device, i, i, i));
      captured.replay();
      expect(Array.from(await captured.result.y.data())).toEqual([7, 14, 21]);
      for (const [i, other] of others.entries()) expect(Array.from(await take(other))).toEqual([i, i, i]);
    }
  });
});

test('returns its memory', async () => {
  await onCpu({}, async (device) => {
    const x = device.zeros([1000]);
    const before = device.memory().live;
    const first = capture(device, () => ({ y: add(scale(x, 2), x) }));
    const { reserved } = device.memory();
    const second = capture(device, () => ({ y: scale(scale(scale(x, 2), 2), 2) }), {
      sharesMemoryWith: first,
    });
    // Only the result is new, because the second capture reuses the temporary memory of the first.
    expect(device.memory().reserved - reserved).toBeLessThanOrEqual(2 * 4096);
    first.replay();
    second.replay();
    await device.synchronize();
    first.dispose();
    expect(() => first.replay()).toThrow(foretokenError('INVALID_HANDLE', 'replay: capture'));
    second.replay();
    await device.synchronize();
    second.dispose();
    second.dispose();
    expect(device.memory().live).toBe(before);
    device.trim();
    expect(device.memory().reserved).toBe(before);
  });
});

test('captures that share memory do not overwrite results of each other', async () => {
  await onCpu({}, async (device) => {
    const x = floats(device, 1, 2);
    using first = capture(device, () => ({ y: scale(scale(x, 2), 2) }));
    using second = capture(device, () => ({ y: scale(scale(x, 3), 3) }), { sharesMemoryWith: first });
    first.replay();
    second.replay();
    expect(Array.from(await first.result.y.data())).toEqual([4, 8]);
    expect(Array.from(await second.result.y.data())).toEqual([9, 18]);
  });
});

test('a function that throws leaves no tensors and no memory behind', async () => {
  await onCpu({}, async (device) => {
    const x = floats(device, 1, 2);
    const before = device.memory().live;
    const failing = (): never => {
      scale(x, 2);
      throw new RangeError('mine');
    };
    expect(() => capture(device, failing)).toThrow(new RangeError('mine'));
    expect(device.memory().live).toBe(before);
    expect(Array.from(await take(scale(x, 2)))).toEqual([2, 4]);
  });
});

test('operations that wait for the device are refused inside', async () => {
  await onCpu({}, async (device) => {
    const x = floats(device, 1, 2);
    using other = capture(device, () => ({ y: scale(x, 2) }));
    const refusals: unknown[] = [];
    using captured = capture(device, () => {
      for (const wait of [() => x.data(), () => device.synchronize(), () => device.measure()]) {
        refusals.push(wait().catch((error: unknown) => error));
      }
      for (const nest of [() => other.replay(), () => capture(device, () => ({}))]) {
        expect(nest).toThrow(foretokenError('UNSUPPORTED', 'during a capture'));
      }
      return { y: scale(x, 3) };
    });
    for (const refusal of await Promise.all(refusals)) {
      expect(refusal).toEqual(foretokenError('UNSUPPORTED', 'during a capture'));
    }
    captured.replay();
    expect(Array.from(await captured.result.y.data())).toEqual([3, 6]);
  });
});

test('errors that only the device can detect reject the readback, and the next replay runs', async () => {
  await onCpu({}, async (device) => {
    const table = device.tensor(Float32Array.of(5, 6), [2, 1]);
    const index = device.tensor(Int32Array.of(1));
    using captured = capture(device, () => ({ y: embedding(index, table) }));
    index.write(Int32Array.of(9));
    captured.replay();
    await expect(captured.result.y.data()).rejects.toEqual(
      foretokenError('INDEX_OUT_OF_RANGE', 'embedding', 'tokens[0] is 9'),
    );
    index.write(Int32Array.of(0));
    captured.replay();
    expect(Array.from(await captured.result.y.data())).toEqual([5]);
  });
});

test('the device may be closed inside, and captures of another device are refused', async () => {
  await onCpu({}, async (device) => {
    await onCpu({}, async (other) => {
      using foreign = capture(other, () => ({}));
      expect(() => capture(device, () => ({}), { sharesMemoryWith: foreign })).toThrow(
        foretokenError('DEVICE_MISMATCH', 'beginCapture'),
      );
    });
    const x = floats(device, 1);
    const captured = capture(device, () => ({ y: scale(x, 2) }));
    const closing = (): Record<string, Tensor> => {
      device.dispose();
      return {};
    };
    expect(() => capture(device, closing)).toThrow(ForetokenError);
    expect(() => captured.replay()).toThrow(foretokenError('INVALID_HANDLE', 'replay: capture'));
    captured.dispose();
  });
});
