import { native } from '../../lib/native/load';
import { devices, openDevice } from '../../lib/tensor/device';
import type { DeviceName, DeviceOptions } from '../../lib/tensor/device-options';
import { linear } from '../../lib/tensor/ops/linear/linear';
import { add, silu } from '../../lib/tensor/ops/layers/elementwise';
import { embedding } from '../../lib/tensor/ops/layers/embedding';
import { scope } from '../../lib/tensor/scope';
import { onCpu, onDeviceOnly } from '../support/cpu';
import { foretokenError } from '../support/errors';

describe('memory', () => {
  test('counts live, peak and reserved bytes, and returns to zero', async () => {
    await onCpu({ threads: 1 }, async (device) => {
      expect(device.memory()).toEqual({ live: 0, peak: 0, reserved: 0 });
      scope(() => add(device.zeros([1024]), device.zeros([1024]))).dispose();
      expect(device.memory()).toEqual({ live: 0, peak: 12_288, reserved: 12_288 });
      // Uses cached blocks again.
      const tensor = device.zeros([1000]);
      expect(device.memory()).toEqual({ live: 4096, peak: 12_288, reserved: 12_288 });
      device.resetPeak();
      expect(device.memory().peak).toBe(4096);
      device.trim();
      expect(device.memory().reserved).toBe(4096);
      expect(await tensor.data()).toEqual(new Float32Array(1000));
      tensor.dispose();
      device.trim();
      expect(device.memory()).toMatchObject({ live: 0, reserved: 0 });
    });
  });

  test('running out of memory is an exception, and the device stays usable', async () => {
    await onCpu({ threads: 2, memoryLimit: 100_000 }, async (device) => {
      const before = native.liveTensors();
      const [x, weight] = [device.empty([100, 100]).fill(1), device.empty([100, 100]).fill(2)];
      const failure = foretokenError('OUT_OF_MEMORY', 'add: out of memory: 40000 bytes', 'limit 100000');
      expect(() => add(x, weight)).toThrow(failure);
      expect(() => device.empty([50_000])).toThrow(foretokenError('OUT_OF_MEMORY', 'empty'));
      expect(native.liveTensors()).toBe(before + 2);
      // The device must first return a block of another size to the system.
      x.dispose();
      const small = Array.from({ length: 8 }, () => device.empty([1000]).fill(3));
      expect(await small[7]!.data()).toEqual(new Float32Array(1000).fill(3));
      for (const tensor of [weight, ...small]) tensor.dispose();
      expect(device.memory().live).toBe(0);
    });
  });

  test('an operation whose scratch does not fit leaves nothing behind', async () => {
    await onCpu({ threads: 2, memoryLimit: 3_000_000 }, async (device) => {
      const [x, weight] = [device.zeros([400, 500]), device.zeros([400, 500])];
      const live = device.memory().live;
      const tensors = native.liveTensors();
      for (let i = 0; i < 20; i++) {
        try {
          native.dispose(native.linear(x.handle, weight.handle, undefined));
        } catch (error) {
          expect(error).toEqual(foretokenError('OUT_OF_MEMORY', 'linear'));
        }
        expect(native.liveTensors()).toBe(tensors);
        expect(device.memory().live).toBe(live);
      }
    });
  });

  test('options out of range are refused', () => {
    expect(() => openDevice('cpu', { memoryLimit: 1e18 })).toThrow(
      foretokenError('INVALID_ARGUMENT', 'memoryLimit'),
    );
    expect(() => openDevice('cpu', { threads: 1.5 })).toThrow(foretokenError('INVALID_ARGUMENT', 'threads'));
    expect(() => openDevice('tpu' as never)).toThrow(foretokenError('INVALID_ARGUMENT', 'tpu'));
  });
});

describe('closing', () => {
  test('rejects pending readbacks, and the process does not wait for them', async () => {
    const device = openDevice('cpu', { threads: 2 });
    const x = device.empty([2048, 2048]).fill(0.001);
    // More work than can have run when the device closes.
    const pending = Array.from({ length: 20 }, () => scope(() => linear(x, x)).data());
    const synchronized = device.synchronize();
    device.dispose();
    const outcomes = await Promise.allSettled([...pending, synchronized]);
    const rejected = outcomes.filter((outcome) => outcome.status === 'rejected');
    expect(rejected.length).toBeGreaterThan(0);
    for (const outcome of rejected)
      expect(outcome.reason).toEqual(foretokenError('INVALID_HANDLE', 'closed'));
  });

  test('a second time does nothing, and all tensors of the device are invalid then', () => {
    const before = native.liveTensors();
    const device = openDevice('cpu');
    const tensor = device.zeros([3]);
    const handle = device.handle;
    device.dispose();
    device.dispose();
    expect(native.liveTensors()).toBe(before);
    expect(device.closed).toBe(true);
    expect(() => device.zeros([1])).toThrow(foretokenError('INVALID_HANDLE', 'closed'));
    expect(() => native.memory(handle)).toThrow(foretokenError('INVALID_HANDLE', 'device'));
    expect(() => silu(tensor)).toThrow(foretokenError('INVALID_HANDLE'));
    tensor.dispose();
  });

  test('many devices can be opened and closed', async () => {
    for (let i = 0; i < 50; i++) {
      await onCpu({ threads: 1 + (i % 4) }, async (device) => {
        using sum = scope(() => add(device.empty([40_000]).fill(i), device.empty([40_000]).fill(1)));
        if (i % 2) expect((await sum.data())[39_999]).toBe(i + 1);
      });
    }
  });
});

test('the event loop runs while the device works', async () => {
  await onCpu({ threads: 2 }, async (device) => {
    const x = device.empty([1024, 1024]).fill(1e-3);
    const results = Array.from({ length: 24 }, () => linear(x, x));
    let ticks = 0;
    let done = false;
    const work = results
      .at(-1)!
      .data()
      .then(() => (done = true));
    const start = performance.now();
    while (!done) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      if (!done) ticks++;
    }
    await work;
    expect(performance.now() - start).toBeGreaterThan(20);
    expect(ticks).toBeGreaterThan(3);
  });
});

test('calls return before the work is done, and results come in order', async () => {
  await onCpu({ threads: 2 }, async (device) => {
    const x = device.empty([1024, 1024]).fill(1e-3);
    const order: number[] = [];
    await Promise.all(
      [0, 1, 2, 3].map(async (i) => {
        await linear(x, x).data();
        order.push(i);
      }),
    );
    expect(order).toEqual([0, 1, 2, 3]);
  });
});

test('after an error in a kernel nothing is computed until the error has been reported once', async () => {
  await onCpu({ threads: 2 }, async (device) => {
    const weight = device.zeros([3, 2]);
    const untouched = device.empty([2]).fill(1);
    embedding(onDeviceOnly(device, [7]), weight);
    untouched.fill(2);
    await expect(device.synchronize()).rejects.toThrow(
      foretokenError('INDEX_OUT_OF_RANGE', 'tokens[0] is 7'),
    );
    expect(await untouched.data()).toEqual(Float32Array.of(1, 1));
    await device.synchronize();
    expect(await untouched.fill(3).data()).toEqual(Float32Array.of(3, 3));
  });
});

test('measured rates are plausible', async () => {
  await onCpu({ threads: 1 }, async (device) => {
    const { flopsPerSecond, matmulFlopsPerSecond, int8FlopsPerSecond, readBytesPerSecond } =
      await device.measure();
    for (const rate of [flopsPerSecond, matmulFlopsPerSecond, int8FlopsPerSecond]) {
      expect(rate).toBeGreaterThan(1e8);
      expect(rate).toBeLessThan(1e15);
    }
    expect(matmulFlopsPerSecond).toBeGreaterThanOrEqual(flopsPerSecond);
    expect(readBytesPerSecond).toBeGreaterThan(1e7);
    expect(readBytesPerSecond).toBeLessThan(1e13);
  });
});

test('devices are listed with their descriptions', () => {
  expect(devices()[0]).toMatchObject({ name: 'cpu', available: true });
  expect(openDevice('auto').description).toBeTruthy();
});

test('the CPU computes in float32 only, and packs other types', async () => {
  await onCpu({}, async (device) => {
    expect(device.computesIn('float32')).toBe(true);
    for (const dtype of ['bfloat16', 'float16', 'int32'] as const)
      expect(device.computesIn(dtype)).toBe(false);
    await device.synchronize();
  });
});

describe('a limit of memory', () => {
  test.each<[DeviceName, DeviceOptions, number]>([
    ['cpu', {}, 1e18],
    ['cuda-emulated', { emulator: { memory: 1e6 } }, 1e6 + 1],
  ])('of %s holds, and is no more than there is', (name, options, tooMuch) => {
    using device = openDevice(name, { ...options, memoryLimit: 100_000 });
    device.empty([20_000]).dispose();
    expect(() => device.empty([30_000])).toThrow(foretokenError('OUT_OF_MEMORY', 'limit 100000'));
    expect(() => openDevice(name, { ...options, memoryLimit: tooMuch })).toThrow(
      foretokenError('INVALID_ARGUMENT', 'memoryLimit', String(tooMuch)),
    );
  });
});

describe('options', () => {
  test.each<[DeviceName, object, string[]]>([
    ['cpu', { emulator: {} }, ['cpu has no option emulator', 'threads, isa, memoryLimit']],
    ['cpu', { thread: 2 }, ['cpu has no option thread (given: 2); do you mean threads?']],
    ['auto', { emulator: {} }, ['auto has no option emulator']],
    ['cuda', { threads: 2 }, ['cuda has no option threads', 'Its options are memoryLimit, poison.']],
    ['cuda:1', { isa: 'avx2' }, ['cuda:1 has no option isa']],
    [
      'cuda-emulated',
      { isa: 'avx2' },
      ['cuda-emulated has no option isa', 'Its options are emulator, memoryLimit, poison.'],
    ],
  ])('of %s: %j is refused', (name, options, parts) => {
    expect(() => openDevice(name, options)).toThrow(
      foretokenError('INVALID_ARGUMENT', 'openDevice', ...parts),
    );
  });

  test('that are undefined are ignored', () => {
    using device = openDevice('cpu', { emulator: undefined, threads: 1 });
    expect(device.name).toBe('cpu');
  });

  test('of the emulator are passed as text', () => {
    const cudaInfo = jest.spyOn(native, 'cudaInfo').mockReturnValue({ devices: ['emulated'] });
    const openCuda = jest.spyOn(native, 'openCuda').mockReturnValue(0);
    try {
      openDevice('cuda-emulated');
      openDevice('cuda-emulated', {
        emulator: { checked: true, schedule: 'starve', seed: 3, asyncCopies: undefined, memory: 2 ** 33 },
      });
      expect(openCuda.mock.calls).toEqual([
        [0, 'libforetoken_cuda_emulated.so', '', undefined, undefined],
        [
          0,
          'libforetoken_cuda_emulated_checked.so',
          'schedule=starve seed=3 memory=8589934592',
          undefined,
          undefined,
        ],
      ]);
    } finally {
      cudaInfo.mockRestore();
      openCuda.mockRestore();
    }
  });
});

describe('the emulated GPU', () => {
  test('is neither listed nor chosen', () => {
    const cudaInfo = jest.spyOn(native, 'cudaInfo');
    try {
      expect(devices().some(({ name }) => name === 'cuda-emulated')).toBe(false);
      openDevice('auto').dispose();
      expect(cudaInfo.mock.calls).toEqual([[], []]);
    } finally {
      cudaInfo.mockRestore();
    }
  });

  test('is unavailable, with the reason, if it was not built', () => {
    const reason = 'there is no such library';
    const cudaInfo = jest.spyOn(native, 'cudaInfo').mockReturnValue({ devices: [], reason });
    try {
      expect(() => openDevice('cuda-emulated')).toThrow(
        foretokenError('DEVICE_UNAVAILABLE', 'cuda-emulated', reason),
      );
    } finally {
      cudaInfo.mockRestore();
    }
  });

  test('is found beside the addon', () => {
    const { devices: found, reason } = native.cudaInfo('libforetoken_cuda_nowhere.so');
    expect(found).toEqual([]);
    expect(reason).toMatch(/\/libforetoken_cuda_nowhere\.so does not exist/);
  });
});
