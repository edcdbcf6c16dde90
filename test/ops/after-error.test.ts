// The next readback reports an error that only the device can see. Until then, later operations on the stream must not
// change existing contents: weights, caches, gradients that are added to.
import type { KvCacheHandle } from '../../lib/native/binding';
import { native } from '../../lib/native/load';
import type { Device } from '../../lib/tensor/device';
import { embedding } from '../../lib/tensor/ops/layers/embedding';
import { scope } from '../../lib/tensor/scope';
import { Tensor } from '../../lib/tensor/tensor';
import { onDeviceOnly } from '../support/cpu';
import { onDevice, targets } from '../support/devices';
import { foretokenError } from '../support/errors';
import { Random } from '../support/random';

const random = new Random(61);

/** Tensors that an operation changes, and the call that changes them. */
interface Change {
  changed: Tensor[];
  run: () => void;
}

/** Makes tensors of random numbers, and of given integers. */
interface Make {
  floats: (...shape: number[]) => Tensor;
  ints: (...values: number[]) => Tensor;
  table: (rows: number, ...values: number[]) => Tensor;
}

/** A cache of one page of random numbers, and that page. */
function filledCache(device: Device, { floats }: Make): { cache: KvCacheHandle; page: Tensor } {
  const cache = native.kvCache(device.handle, 1, 1, 4, 8, 1, 'float32');
  native.kvReserve(cache, 0, 8);
  const page = new Tensor(device, native.kvPage(cache, 0, 0));
  return { cache, page: page.copyFrom(floats(...page.shape)) };
}

const operations: Record<string, (device: Device, make: Make) => Change> = {
  fill: (_, { floats }) => {
    const out = floats(37);
    return { changed: [out], run: () => out.fill(3) };
  },
  copyInto: (_, { floats }) => {
    const [out, input] = [floats(37), floats(37)];
    return { changed: [out], run: () => out.copyFrom(input) };
  },
  accumulate: (_, { floats }) => {
    const [out, input] = [floats(37), floats(37)];
    return { changed: [out], run: () => native.accumulate(out.handle, input.handle, 2) };
  },
  embeddingBackward: (_, { floats, ints }) => {
    const [tokens, grad, gradWeight] = [ints(1, 0, 1), floats(3, 7), floats(5, 7)];
    return {
      changed: [gradWeight],
      run: () => native.embeddingBackward(tokens.handle, grad.handle, gradWeight.handle),
    };
  },
  rmsNormBackward: (_, { floats }) => {
    const [grad, x, weight, rstd, gradWeight] = [floats(6, 7), floats(6, 7), floats(7), floats(6), floats(7)];
    return {
      changed: [gradWeight],
      run: () => native.rmsNormBackward(grad.handle, x.handle, weight.handle, rstd.handle, gradWeight.handle),
    };
  },
  linearBackwardWeight: (_, { floats }) => {
    const [grad, x, gradWeight, gradBias] = [floats(4, 5), floats(4, 3), floats(5, 3), floats(5)];
    return {
      changed: [gradWeight, gradBias],
      run: () => native.linearBackwardWeight(grad.handle, x.handle, gradWeight.handle, gradBias.handle),
    };
  },
  linearCrossEntropy: (_, { floats, ints }) => {
    const [hidden, weight, bias, targets] = [floats(4, 3), floats(6, 3), floats(6), ints(1, 5, 0, 2)];
    const [gradWeight, gradBias] = [floats(6, 3), floats(6)];
    return {
      changed: [gradWeight, gradBias],
      run: () =>
        native.linearCrossEntropy(
          ...(['lossAndGrad', hidden.handle, weight.handle, bias.handle, targets.handle] as const),
          ...([undefined, 1, undefined, 'sum', -100, 0, 0, 0, 0, 2] as const),
          ...([false, false, false, false, false, undefined, undefined] as const),
          ...([gradWeight.handle, gradBias.handle] as const),
        ),
    };
  },
  kvAppend: (device, make) => {
    const { floats, ints } = make;
    const { cache, page } = filledCache(device, make);
    const qkv = floats(3, 12);
    const tree = [ints(0, 3), ints(2), ints(-1, 0, 0)] as const;
    return {
      changed: [page],
      run: () =>
        native.kvAppend(
          cache,
          0,
          qkv.handle,
          1,
          ...(tree.map((each) => each.handle) as [number, number, number]),
        ),
    };
  },
  kvCompact: (device, make) => {
    const { ints, table } = make;
    const { cache, page } = filledCache(device, make);
    const [offsets, lengths, path, counts] = [ints(0, 3), ints(2), table(1, 0, 2), ints(2)];
    return {
      changed: [page],
      run: () => native.kvCompact(cache, offsets.handle, lengths.handle, path.handle, counts.handle),
    };
  },
  commitRecurrent: (device, { floats, ints, table }) => {
    const states = native.recurrentStates(device.handle, 1, 1, 2, 16, 16, 2, 1);
    native.recurrentReserve(states, 0);
    const block = new Tensor(device, native.recurrentBlock(states, 0));
    const [x, qkv, a, b] = [floats(3, 64), floats(3, 64), floats(3, 2), floats(3, 2)];
    const [decay, bias] = [floats(2), floats(2)];
    const [offsets, path, counts] = [ints(0, 3), table(1, 0, 2), ints(2)];
    return {
      changed: [block.copyFrom(floats(...block.shape))],
      run: () =>
        native.commitRecurrent(
          ...([states, 0, x.handle, qkv.handle, a.handle, b.handle] as const),
          ...([decay.handle, bias.handle] as const),
          ...([offsets.handle, path.handle, counts.handle] as const),
        ),
    };
  },
  adamw: (_, { floats }) => {
    const [param, grad, m, v] = [floats(37), floats(37), floats(37), floats(37)];
    const rounded = floats(37).cast('bfloat16');
    return {
      changed: [param, m, v, rounded],
      run: () =>
        native.adamw(
          ...([param.handle, grad.handle, m.handle, v.handle, undefined] as const),
          ...([0.1, 0.9, 0.99, 1e-8, 0.1, 1, rounded.handle] as const),
        ),
    };
  },
};

describe.each(targets)('after an error on %s', (target) => {
  test.each(Object.keys(operations))('%s changes nothing', async (name) => {
    await onDevice(target, async (device) => {
      const { changed, run } = operations[name]!(device, {
        floats: (...shape) =>
          device.tensor(random.floats(shape.reduce((product, dim) => product * dim, 1)), shape),
        ints: (...values) => device.tensor(Int32Array.from(values)),
        table: (rows, ...values) => device.tensor(Int32Array.from(values), [rows, values.length / rows]),
      });
      const contents = (): Promise<unknown[]> => Promise.all(changed.map((tensor) => tensor.data()));
      const before = await contents();
      scope(() => void embedding(onDeviceOnly(device, [7]), device.zeros([3, 1])));
      scope(run);
      await expect(device.synchronize()).rejects.toThrow(
        foretokenError('INDEX_OUT_OF_RANGE', 'embedding: tokens[0] is 7'),
      );
      expect(await contents()).toEqual(before);
      // The error is reported once; then the operation changes the tensors.
      scope(run);
      const after = await contents();
      for (const [i, each] of after.entries()) expect(each).not.toEqual(before[i]);
    });
  });
});
