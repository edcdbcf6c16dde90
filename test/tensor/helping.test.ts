// JavaScript's thread runs short captured work itself when it awaits the result. That may show in nothing but the time it takes.
import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { capture, type Capture } from '../../lib/tensor/capture';
import type { Device } from '../../lib/tensor/device';
import { embedding } from '../../lib/tensor/ops/layers/embedding';
import { linear } from '../../lib/tensor/ops/linear/linear';
import type { Tensor } from '../../lib/tensor/tensor';
import { timestamp } from '../../lib/tensor/timestamp';
import { onCpu } from '../support/cpu';
import { foretokenError } from '../support/errors';
import { Random } from '../support/random';

type Step = Capture<{ y: Tensor }>;

/** Captures a product of matrices of `size` rows, and replays it until its time is known. */
async function known(device: Device, size: number): Promise<Step> {
  const x = device.tensor(new Random(size).floats(size * size, 0.1), [size, size]);
  const step = capture(device, () => ({ y: linear(linear(x, x), x) }));
  for (let i = 0; i < 3; i++) {
    step.replay();
    await step.result.y.data();
  }
  return step;
}

/** Whether a promise settles without a turn of the event loop. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const settle = (): void => void (settled = true);
  promise.then(settle, settle);
  for (let i = 0; i < 10; i++) await Promise.resolve();
  return settled;
}

/** Counts readbacks, of 200, that settled without a turn of the event loop. */
async function countSettled(read: () => Promise<unknown>): Promise<number> {
  let count = 0;
  for (let i = 0; i < 200; i++) {
    const promise = read();
    if (await isSettled(promise)) count++;
    await promise;
  }
  return count;
}

test('a readback of short captured work is there at once', async () => {
  await onCpu({ threads: 2 }, async (device) => {
    using step = await known(device, 16);
    const state = device.tensor(Int32Array.of(0, 0));
    // As a decoding step does it.
    const count = await countSettled(() => {
      state.write(Int32Array.of(1, 2));
      timestamp(state, 0);
      step.replay();
      return step.result.y.data();
    });
    expect(count).toBeGreaterThan(50);
  });
});

test('work that takes longer is left to the thread of the stream', async () => {
  await onCpu({ threads: 1 }, async (device) => {
    using step = await known(device, 512);
    const count = await countSettled(() => {
      step.replay();
      return step.result.y.data();
    });
    expect(count).toBe(0);
  });
});

test('work whose time is not known is left to the thread of the stream', async () => {
  await onCpu({ threads: 1 }, async (device) => {
    const x = device.tensor(new Random(1).floats(512 * 512, 1), [512, 512]);
    using small = await known(device, 16);
    for (let i = 0; i < 20; i++) {
      small.replay();
      await small.result.y.data();
    }
    const y = linear(x, x);
    expect(await isSettled(y.data())).toBe(false);
    using step = capture(device, () => ({ y: linear(x, x) }));
    step.replay();
    expect(await isSettled(step.result.y.data())).toBe(false);
    await device.synchronize();
  });
});

// The event loop must turn even if a program awaits nothing but readbacks that are there at once.
test('timers, immediates and signals are served while results are read', async () => {
  await onCpu({ threads: 2 }, async (device) => {
    using step = await known(device, 16);
    const begin = performance.now();
    const waited: Record<string, number> = {};
    const seen = (name: string) => (): void => void (waited[name] = performance.now() - begin);
    setTimeout(seen('timer'), 20);
    setImmediate(seen('immediate'));
    AbortSignal.timeout(20).addEventListener('abort', seen('signal'));
    while (Object.keys(waited).length < 3 && performance.now() - begin < 5000) {
      step.replay();
      await step.result.y.data();
    }
    expect(waited.immediate).toBeLessThan(500);
    expect(waited.timer).toBeLessThan(500);
    expect(waited.signal).toBeLessThan(500);
  });
});

test('work that is not awaited is run soon', async () => {
  await onCpu({ threads: 1 }, async (device) => {
    const times = device.tensor(Int32Array.of(0, 0));
    using step = capture(device, () => {
      timestamp(times, 0);
      return { times };
    });
    for (const idle of [0, 100]) {
      for (let i = 0; i < 50; i++) {
        step.replay();
        await times.data();
      }
      await sleep(idle);
      step.replay();
      await sleep(100);
      timestamp(times, 1);
      const [ran, now] = (await times.data()) as Int32Array;
      expect((now! - ran!) | 0).toBeGreaterThan(50_000);
    }
  });
});

// Work with an error is skipped, so the time of the next replay is expected to be short.
test('work that takes longer than expected is left to the thread of the stream after a while', async () => {
  await onCpu({ threads: 1 }, async (device) => {
    const table = device.tensor(new Random(1).floats(512 * 512, 0.1), [512, 512]);
    const rows = device.tensor(Int32Array.from({ length: 512 }, (_, i) => i));
    const products = (): Tensor => {
      let y = embedding(rows, table);
      for (let i = 0; i < 20; i++) y = linear(y, table);
      return y;
    };
    const expected = await products().data();
    using step = capture(device, () => ({ y: products() }));
    for (let i = 0; i < 5; i++) {
      rows.write(new Int32Array(512).fill(-1));
      for (let skipped = 0; skipped < 3; skipped++) {
        step.replay();
        await expect(step.result.y.data()).rejects.toThrow(foretokenError('INDEX_OUT_OF_RANGE', 'embedding'));
      }
      rows.write(Int32Array.from({ length: 512 }, (_, i) => i));
      step.replay();
      const begin = performance.now();
      const promise = step.result.y.data();
      const inCall = performance.now() - begin;
      expect(await promise).toEqual(expected);
      expect(inCall).toBeLessThan((performance.now() - begin) / 2);
    }
  });
});

test('gives the same bits as the thread of the stream', async () => {
  await onCpu({ threads: 2 }, async (device) => {
    using step = await known(device, 48);
    step.replay();
    await sleep(50); // the thread of the stream runs it
    const expected = await step.result.y.data();
    for (let i = 0; i < 100; i++) {
      step.replay();
      expect(await step.result.y.data()).toEqual(expected);
    }
  });
});

test('several readbacks are settled in their order', async () => {
  await onCpu({ threads: 2 }, async (device) => {
    using short = await known(device, 16);
    using long = await known(device, 512);
    for (let i = 0; i < 10; i++) {
      const order: string[] = [];
      const read = async (step: Step, name: string): Promise<void> => {
        step.replay();
        await step.result.y.data();
        order.push(name);
      };
      await Promise.all([read(short, 'a'), read(long, 'b'), read(short, 'c'), read(short, 'd')]);
      expect(order.join('')).toBe('abcd');
    }
  });
});

test('an error that only the data can show rejects the readback, and no other', async () => {
  await onCpu({ threads: 2 }, async (device) => {
    const table = device.tensor(Float32Array.of(1, 2, 3, 4), [2, 2]);
    const index = device.tensor(Int32Array.of(1));
    using step = capture(device, () => ({ y: embedding(index, table) }));
    for (let i = 0; i < 50; i++) {
      index.write(Int32Array.of(i % 3));
      step.replay();
      const read = step.result.y.data();
      if (i % 3 < 2) expect(Array.from(await read)).toEqual(i % 3 === 0 ? [1, 2] : [3, 4]);
      else await expect(read).rejects.toThrow(foretokenError('INDEX_OUT_OF_RANGE', 'embedding'));
    }
  });
});

test('a device may be closed by the code that a readback calls', async () => {
  await onCpu({ threads: 2 }, async (device) => {
    using step = await known(device, 16);
    let closed = false;
    Object.defineProperty(Float32Array.prototype, 'then', {
      configurable: true,
      get() {
        if (!closed) device.dispose();
        closed = true;
        return undefined;
      },
    });
    try {
      step.replay();
      await step.result.y.data();
    } finally {
      delete (Float32Array.prototype as { then?: unknown }).then;
    }
    expect(closed).toBe(true);
  });
});

test('two devices take turns', async () => {
  await onCpu({ threads: 2 }, async (a) => {
    await onCpu({ threads: 1 }, async (b) => {
      using onA = await known(a, 16);
      using onB = await known(b, 16);
      const expected = await onA.result.y.data();
      for (let i = 0; i < 100; i++) {
        onA.replay();
        onB.replay();
        const [fromA, fromB] = await Promise.all([onA.result.y.data(), onB.result.y.data()]);
        expect(fromA).toEqual(expected);
        expect(fromB).toEqual(expected);
      }
    });
  });
});

test('keeps the asynchronous context', async () => {
  await onCpu({ threads: 1 }, async (device) => {
    using step = await known(device, 16);
    const storage = new AsyncLocalStorage<number>();
    await storage.run(7, async () => {
      for (let i = 0; i < 20; i++) {
        step.replay();
        await step.result.y.data();
        expect(storage.getStore()).toBe(7);
      }
    });
  });
});
