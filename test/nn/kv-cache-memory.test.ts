// The memory of a KvCache: how it grows, who holds it, and what is refused.
import { KvCache, type KvCacheOptions } from '../../lib/nn/kv-cache';
import { capture } from '../../lib/tensor/capture';
import { openDevice, type Device } from '../../lib/tensor/device';
import { treeAttention } from '../../lib/tensor/ops/attention/attention';
import { kvAppend, type TreeRows } from '../../lib/tensor/ops/attention/kv-cache';
import type { Tensor } from '../../lib/tensor/tensor';
import { onDeviceOnly, take } from '../support/cpu';
import { PAGE, rowWidth } from '../support/decoding-cache';
import { isEmulated, onDevice, targets } from '../support/devices';
import { foretokenError } from '../support/errors';

const shape = { heads: 4, kvHeads: 2, headDim: 8, scale: 0.35 };
const sizes = { layers: 1, kvHeads: shape.kvHeads, headDim: shape.headDim };
/** Bytes of a page in float32. */
const PAGE_BYTES = 2 * shape.kvHeads * PAGE * shape.headDim * 4;

describe.each(targets)('the memory of a KvCache on %s', (target) => {
  const make = (device: Device, options: Partial<KvCacheOptions> = {}): KvCache =>
    new KvCache(device, { ...sizes, capacity: 8 * PAGE, sequences: 3, ...options });
  const row = (device: Device): { qkv: Tensor; tree: TreeRows } => ({
    qkv: device.zeros([1, rowWidth(shape)]).fill(1),
    tree: {
      rowOffsets: device.tensor(Int32Array.of(0, 1, 1, 1)),
      lengths: device.tensor(Int32Array.of(0, 0, 0)),
      parents: device.tensor(Int32Array.of(-1)),
    },
  });

  it('doubles, but not beyond what the sequences can use', async () => {
    await onDevice(target, async (device) => {
      using cache = make(device);
      const pages = (): number => cache.bytes / PAGE_BYTES;
      expect(pages()).toBe(0);
      const seen = [];
      for (let positions = PAGE; positions <= 8 * PAGE; positions += PAGE) {
        for (const s of [0, 1, 2]) {
          cache.reserve(s, positions);
          seen.push(pages());
        }
      }
      expect([...new Set(seen)]).toEqual([1, 2, 4, 8, 16, 24]);
      expect(device.memory().live).toBeGreaterThanOrEqual(24 * PAGE_BYTES);
      for (const s of [0, 1, 2]) cache.release(s);
      cache.reserve(1, 8 * PAGE);
      expect(pages()).toBe(24);
      using exact = make(device, { sequences: 1 });
      exact.reserve(0, 5 * PAGE - 1);
      expect(exact.bytes).toBe(5 * PAGE_BYTES);
    });
  });

  it('that runs out leaves the cache as it was', async () => {
    const device = openDevice(isEmulated(target) ? 'cuda-emulated' : target === 'cuda' ? 'cuda' : 'cpu', {
      memoryLimit: 6 * PAGE_BYTES,
    });
    try {
      using cache = make(device);
      cache.reserve(0, 2 * PAGE);
      cache.reserve(1, PAGE);
      const state = (): unknown => [
        [...cache.reserved],
        [...cache.lengths],
        cache.bytes,
        device.memory().live,
      ];
      const before = state();
      expect(() => cache.reserve(1, 8 * PAGE)).toThrow(foretokenError('OUT_OF_MEMORY', 'kvReserve'));
      expect(state()).toEqual(before);
      cache.reserve(1, 2 * PAGE);
      cache.reserve(2, PAGE); // although the pool cannot double
      expect(cache.bytes).toBe(5 * PAGE_BYTES);
      expect(() => cache.reserve(2, 5 * PAGE)).toThrow(foretokenError('OUT_OF_MEMORY', 'kvReserve'));
      cache.release(0);
      cache.release(1);
      cache.reserve(2, 4 * PAGE);
      await device.synchronize();
    } finally {
      device.dispose();
    }
  });

  it('belongs to the captures that use it, too', async () => {
    await onDevice(target, async (device) => {
      const live = device.memory().live;
      const cache = make(device);
      const { qkv, tree } = row(device);
      cache.reserve(0, PAGE);
      const step = capture(device, () => ({ out: treeAttention(cache, 0, qkv, tree, shape) }));
      cache.reserve(0, 5 * PAGE);
      const held = device.memory().live;
      cache.dispose();
      cache.dispose();
      expect(device.memory().live).toBe(held);
      tree.lengths.write(Int32Array.of(5 * PAGE - 1, 0, 0));
      step.replay();
      expect(await take(step.result.out.cast('float32'))).toEqual(
        new Float32Array(shape.heads * shape.headDim),
      );
      step.dispose();
      for (const tensor of [qkv, ...Object.values(tree as unknown as Record<string, Tensor>)])
        tensor.dispose();
      expect(device.memory().live).toBe(live);
    });
  });

  it('may be freed while work on it is enqueued', async () => {
    await onDevice(target, async (device) => {
      const { qkv, tree } = row(device);
      for (let i = 0; i < 5; i++) {
        using cache = make(device);
        cache.reserve(0, 3 * PAGE);
        kvAppend(cache, 0, qkv, tree, shape.heads);
        if (i % 2 === 0) cache.release(0);
      }
      await device.synchronize();
    });
  });

  it.each(['host', 'device'])(
    'that is not reserved is refused, if the %s knows the positions',
    async (where) => {
      await onDevice(target, async (device) => {
        using cache = make(device);
        const { qkv, tree } = row(device);
        const at = (length: number): TreeRows => {
          const values = [length, 0, 0];
          const lengths =
            where === 'host' ? device.tensor(Int32Array.from(values)) : onDeviceOnly(device, values);
          return { ...tree, lengths };
        };
        const append = async (length: number): Promise<void> => {
          kvAppend(cache, 0, qkv, at(length), shape.heads);
          await device.synchronize();
        };
        const attend = async (length: number): Promise<void> => {
          treeAttention(cache, 0, qkv, at(length), shape).dispose();
          await device.synchronize();
        };
        const refused = (op: string, text: string): Error =>
          foretokenError('INDEX_OUT_OF_RANGE', `${op}: ${text}`);
        const none = 'rowOffsets[1] is 1, but must be in 0 … 0 (the positions reserved for the sequence)';
        await expect(append(0)).rejects.toEqual(refused('kvAppend', none));
        await expect(attend(0)).rejects.toEqual(refused('treeAttention', none));
        cache.reserve(1, PAGE);
        cache.reserve(0, PAGE + 1);
        await append(2 * PAGE - 1);
        const beyond = `lengths[0] is ${2 * PAGE}, but must be in 0 … ${2 * PAGE - 1} (the positions reserved`;
        await expect(append(2 * PAGE)).rejects.toEqual(refused('kvAppend', beyond));
        await expect(attend(2 * PAGE)).rejects.toEqual(refused('treeAttention', beyond));
        cache.release(0);
        await expect(attend(0)).rejects.toEqual(refused('treeAttention', none));
      });
    },
  );
});

describe('a KvCache refuses', () => {
  let device: Device;
  beforeEach(() => (device = openDevice('cpu', { threads: 1, poison: true })));
  afterEach(() => device.dispose());
  const options = { ...sizes, capacity: 100 };

  it('to commit positions that are not reserved', () => {
    using cache = new KvCache(device, options);
    expect(() => cache.advance([1])).toThrow(
      foretokenError('INVALID_ARGUMENT', 'KvCache: sequence 0 would have 1 positions, but 0 are reserved'),
    );
    cache.reserve(0, 65);
    cache.advance([100]);
    expect(() => cache.advance([1])).toThrow('sequence 0 would have 101 positions, but 100 are reserved');
    cache.truncate(0, 99);
    cache.advance([1]);
  });

  it('changes of its memory inside a capture', () => {
    using cache = new KvCache(device, options);
    const changes = [() => cache.reserve(0, 1), () => cache.release(0), () => new KvCache(device, options)];
    for (const change of changes) {
      const inside = (): unknown => capture(device, () => (change(), {}));
      expect(inside).toThrow(foretokenError('UNSUPPORTED', 'not possible during a capture'));
    }
    cache.reserve(0, 1);
    expect(cache.reserved[0]).toBe(64);
  });

  it('a type that the device does not compute in', () => {
    expect(() => new KvCache(device, { ...options, dtype: 'bfloat16' })).toThrow(
      foretokenError(
        'UNSUPPORTED',
        'kvCache: dtype is bfloat16, but this device (cpu) computes in float32 only',
      ),
    );
  });

  it('more sequences or pages than there is room for', () => {
    expect(() => new KvCache(device, { ...options, sequences: 65_537 })).toThrow(
      foretokenError(
        'INVALID_ARGUMENT',
        'KvCache: sequences must be an integer from 1 to 65536, but is 65537',
      ),
    );
    const huge = { ...options, capacity: 2 ** 31 - 1, sequences: 65_536 };
    expect(() => new KvCache(device, huge)).toThrow(foretokenError('OUT_OF_MEMORY', 'kvCache'));
    using wide = new KvCache(device, {
      ...options,
      layers: 2 ** 31 - 1,
      kvHeads: 2 ** 31 - 1,
      headDim: 2 ** 31 - 1,
    });
    expect(() => wide.reserve(0, 1)).toThrow(foretokenError('OUT_OF_MEMORY', 'kvReserve', '2^52 elements'));
  });

  it('everything after it, or its device, was disposed of', () => {
    const cache = new KvCache(device, options);
    const other = new KvCache(device, options);
    cache.dispose();
    const gone = foretokenError('INVALID_HANDLE', 'cache was disposed or is not a KV cache');
    expect(() => cache.reserve(0, 1)).toThrow(gone);
    expect(() => cache.release(0)).toThrow(gone);
    expect(() => cache.bytes).toThrow(gone);
    device.dispose();
    expect(() => other.reserve(0, 1)).toThrow(gone);
    other.dispose();
  });

  it('tensors and caches of different devices', () => {
    using elsewhere = openDevice('cpu', { threads: 1 });
    using cache = new KvCache(device, options);
    cache.reserve(0, 1);
    const tree = {
      rowOffsets: device.tensor(Int32Array.of(0, 1)),
      lengths: device.tensor(Int32Array.of(0)),
      parents: device.tensor(Int32Array.of(-1)),
    };
    expect(() => kvAppend(cache, 0, elsewhere.zeros([1, rowWidth(shape)]), tree, shape.heads)).toThrow(
      foretokenError('DEVICE_MISMATCH', 'kvAppend: qkv is on a different device'),
    );
  });
});

it('a KvCache without layers counts positions', () => {
  using device = openDevice('cpu', { threads: 1, poison: true });
  using cache = new KvCache(device, { ...sizes, layers: 0, capacity: 1000 });
  cache.reserve(0, 1000);
  cache.advance([1000]);
  expect([cache.lengths[0], cache.bytes]).toEqual([1000, 0]);
});
