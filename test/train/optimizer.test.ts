import { Linear } from '../../lib/nn/linear';
import { ParameterStore, type StoreOptions } from '../../lib/nn/parameters';
import { RMSNorm } from '../../lib/nn/rms-norm';
import { openDevice, type Device } from '../../lib/tensor/device';
import { Random } from '../../lib/random';
import { embedding } from '../../lib/tensor/ops/layers/embedding';
import { AdamW, type AdamWOptions } from '../../lib/train/optimizer';
import { native } from '../../lib/native/load';
import type { Tensor } from '../../lib/tensor/tensor';
import { foretokenError } from '../support/errors';
import { decode, nearest } from '../support/half';
import { relativeError } from '../support/training';

let device: Device;
beforeEach(() => (device = openDevice('cpu', { threads: 1, poison: true })));
afterEach(() => device.dispose());

function makeStore(options?: StoreOptions): ParameterStore {
  const store = new ParameterStore(device, options);
  new Linear(store, 'layer.', [{ name: 'weight', rows: 5 }], 7, { std: 1 }, true);
  new RMSNorm(store, 'norm', 7, 1e-5);
  store.allocate(4);
  return store;
}

/** Three updates in float64: Loshchilov & Hutter 2019, algorithm 2, with clipped gradients. */
async function expectedSteps(
  store: ParameterStore,
  gradients: number[][][],
  lr: number,
  o: Required<AdamWOptions>,
) {
  const states = await Promise.all(
    store.buckets.map(async ({ value, decay }) => {
      const w = Array.from(await value.data());
      return { w, m: w.map(() => 0), v: w.map(() => 0), decay: decay ? o.weightDecay : 0 };
    }),
  );
  const norms = gradients.map((buckets, i) => {
    const norm = Math.sqrt(buckets.flat().reduce((sum, g) => sum + g * g, 0));
    const scale = o.maxGradNorm > 0 ? Math.min(1, o.maxGradNorm / (norm + 1e-6)) : 1;
    states.forEach(({ w, m, v, decay }, b) =>
      buckets[b]!.forEach((raw, j) => {
        const g = raw * scale;
        m[j] = o.beta1 * m[j]! + (1 - o.beta1) * g;
        v[j] = o.beta2 * v[j]! + (1 - o.beta2) * g * g;
        const mean = m[j] / (1 - o.beta1 ** (i + 1));
        const square = v[j] / (1 - o.beta2 ** (i + 1));
        w[j]! -= lr * (mean / (Math.sqrt(square) + o.eps) + decay * w[j]!);
      }),
    );
    return norm;
  });
  return { norms, weights: states.map(({ w }) => Float32Array.from(w)) };
}

it.each<AdamWOptions>([{}, { maxGradNorm: 0 }, { weightDecay: 0.5 }, { beta1: 0.5, beta2: 0.7, eps: 0.01 }])(
  'updates as the paper defines: %j',
  async (options) => {
    const store = makeStore();
    using optimizer = new AdamW(store, options);
    const random = new Random(7);
    const gradients = Array.from({ length: 3 }, () =>
      store.buckets.map(({ value }) =>
        Array.from({ length: value.size }, () => Math.fround(random.normal())),
      ),
    );
    const lr = 0.1;
    const expected = await expectedSteps(store, gradients, lr, optimizer.options);
    for (const [i, step] of gradients.entries()) {
      store.buckets.forEach(({ grad }, b) => grad!.write(Float32Array.from(step[b]!)));
      using norm = optimizer.update(lr);
      expect((await norm.item()) / expected.norms[i]!).toBeCloseTo(1, 6);
    }
    for (const [b, { value }] of store.buckets.entries()) {
      expect(relativeError((await value.data()) as Float32Array, expected.weights[b]!)).toBeLessThan(1e-6);
    }
    store.dispose();
  },
);

it('decays matrices, but neither norms nor biases', async () => {
  const store = makeStore();
  using optimizer = new AdamW(store, { weightDecay: 0.5 });
  const [matrix, vectors] = await Promise.all(store.buckets.map(({ value }) => value.data()));
  optimizer.update(0.1).dispose();
  const [matrixAfter, vectorsAfter] = await Promise.all(store.buckets.map(({ value }) => value.data()));
  expect(vectorsAfter).toEqual(vectors);
  expect(
    relativeError(
      matrixAfter as Float32Array,
      Float32Array.from(matrix!, (w) => w * 0.95),
    ),
  ).toBeLessThan(1e-6);
  store.dispose();
});

it('drops the packed copies of changed weights', () => {
  const store = makeStore();
  using optimizer = new AdamW(store);
  const packed = store.parameters[0]!.packed();
  optimizer.update(0.1).dispose();
  expect(packed.disposed).toBe(true);
  store.dispose();
});

describe('parameters of a model that computes in bfloat16', () => {
  const roundedOf = async (tensor: Tensor): Promise<number[]> =>
    Array.from(await tensor.data(), (value) => nearest(value, 'bfloat16'));
  const halvesOf = async (tensor: Tensor): Promise<number[]> =>
    Array.from(decode((await tensor.data()) as Uint16Array, 'bfloat16'));

  it('are rounded copies of the matrices, updated by the optimizer and by writes', async () => {
    const store = makeStore({ dtype: 'bfloat16' });
    const [matrix, bias, norm] = store.parameters;
    using optimizer = new AdamW(store);
    const [matrices, vectors] = store.buckets;
    expect([matrix!.value.dtype, matrix!.operand.dtype, vectors!.rounded]).toEqual([
      'float32',
      'bfloat16',
      null,
    ]);
    expect([bias!.operand, norm!.operand]).toEqual([bias!.value, norm!.value]);
    const check = async (): Promise<void> => {
      expect(await halvesOf(matrix!.operand)).toEqual(await roundedOf(matrix!.value));
    };
    await check();
    const before = await halvesOf(matrix!.operand);
    matrices!.grad!.fill(1);
    optimizer.update(0.1).dispose();
    await check();
    expect(await halvesOf(matrix!.operand)).not.toEqual(before);
    matrices!.value.fill(1 / 3);
    store.changed();
    await check();
    store.dispose();
  });

  it('drop their packed copies when they change', () => {
    const store = makeStore({ dtype: 'bfloat16' });
    using optimizer = new AdamW(store);
    const packed = store.parameters[0]!.packed();
    expect(packed.dtype).toBe('bfloat16');
    optimizer.update(0.1).dispose();
    expect(packed.disposed).toBe(true);
    store.dispose();
  });

  it('take half the memory without masters, start as rounded values, and cannot be trained', async () => {
    const full = makeStore({ dtype: 'bfloat16' });
    const before = native.liveTensors();
    const store = makeStore({ dtype: 'bfloat16', masters: false });
    const [matrix, bias] = store.parameters;
    expect(matrix!.value.dtype).toBe('bfloat16');
    expect([matrix!.operand, matrix!.packed()]).toEqual([matrix!.value, matrix!.value]);
    expect(bias!.value.dtype).toBe('float32');
    const all = device.tensor(Int32Array.from({ length: matrix!.shape[0]! }, (_, row) => row));
    const rows = embedding(all, matrix!.value);
    expect([...(await rows.data())]).toEqual(await halvesOf(full.parameters[0]!.operand));
    for (const tensor of [all, rows]) tensor.dispose();
    expect(() => new AdamW(store)).toThrow(
      foretokenError('INVALID_ARGUMENT', 'cannot be trained', 'kept only in bfloat16 (masters: false)'),
    );
    store.dispose();
    expect(native.liveTensors()).toBe(before);
    full.dispose();
  });

  it('in float32 need no masters', () => {
    const store = makeStore({ masters: false });
    expect(store.parameters[0]!.operand).toBe(store.parameters[0]!.value);
    using optimizer = new AdamW(store);
    optimizer.update(0.1).dispose();
    store.dispose();
  });
});

it.each([
  ['beta1', { beta1: 1 }],
  ['beta2', { beta2: -0.1 }],
  ['eps', { eps: 0 }],
  ['weightDecay', { weightDecay: NaN }],
  ['maxGradNorm', { maxGradNorm: -1 }],
])('refuses a bad %s', (name, options) => {
  const store = makeStore();
  expect(() => new AdamW(store, options)).toThrow(foretokenError('INVALID_ARGUMENT', name));
  store.dispose();
});
