import { native } from '../../lib/native/load';
import { backward, noGrad, record } from '../../lib/tensor/autograd';
import { openDevice, type Device } from '../../lib/tensor/device';
import { add, concat, scale, silu } from '../../lib/tensor/ops/layers/elementwise';
import { linear } from '../../lib/tensor/ops/linear/linear';
import { reshape } from '../../lib/tensor/ops/layers/reshape';
import { rmsNorm } from '../../lib/tensor/ops/layers/rms-norm';
import { keep, scope } from '../../lib/tensor/scope';
import type { Tensor } from '../../lib/tensor/tensor';
import { foretokenError } from '../support/errors';
import { checkGradients } from '../support/gradcheck';
import { Random } from '../support/random';

let device: Device;
let before: number;
beforeEach(() => {
  device = openDevice('cpu', { threads: 2 });
  before = native.liveTensors();
});
afterEach(() => device.dispose());

const leaf = (...values: number[]): Tensor => device.tensor(Float32Array.from(values)).requireGrad();
const ones = (tensor: Tensor): Tensor => device.empty(tensor.shape).fill(1);
const values = async (tensor: Tensor | null): Promise<number[]> => [...(await tensor!.data())];

test('a gradient reaches a leaf along every path', async () => {
  const x = leaf(1, 2);
  const doubled = scale(x, 2);
  const diamond = add(add(doubled, scale(doubled, 3)), x); // 2x + 6x + x
  diamond.backward(ones(diamond));
  expect(await values(x.grad)).toEqual([9, 9]);
});

test('an input that one operation uses twice gets both gradients', async () => {
  const x = leaf(1, 2);
  const y = add(x, x);
  y.backward(ones(y));
  expect(await values(x.grad)).toEqual([2, 2]);
});

test('gradients of several passes add up', async () => {
  const x = leaf(1, 2);
  for (const factor of [2, 3]) scope(() => scale(x, factor).backward(device.tensor(Float32Array.of(1, 10))));
  expect(await values(x.grad)).toEqual([5, 50]);
});

test('backward does not modify the given gradient, and gradients share no memory', async () => {
  const [x, y] = [leaf(1, 2), leaf(3, 4)];
  const given = device.tensor(Float32Array.of(1, 1));
  const sum = add(x, y);
  add(sum, reshape(sum, [2])).backward(given);
  expect(await values(given)).toEqual([1, 1]);
  x.grad!.fill(7);
  expect(await values(y.grad)).toEqual([2, 2]);
  expect(await values(given)).toEqual([1, 1]);
});

describe('in mixed precision', () => {
  /** Makes a copy in bfloat16 that is part of the graph, and records the dtypes of the gradients that reach the copy. */
  function rounded(x: Tensor, seen: string[] = []): Tensor {
    return record('rounded', [x], x.cast('bfloat16'), [], (grad, _saved, [toX]) => {
      seen.push(grad.dtype);
      toX!.add(grad.detach());
    });
  }

  test('gradients inside the graph have the dtype of their tensor, and gradients of leaves are float32', async () => {
    const x = leaf(1, 2);
    const seen: string[] = [];
    rounded(rounded(x, seen), seen).backward(device.tensor(Float32Array.of(1, 0.5)));
    expect(seen).toEqual(['bfloat16', 'bfloat16']);
    expect(x.grad!.dtype).toBe('float32');
    expect(await values(x.grad)).toEqual([1, 0.5]);
  });

  test('backward of one bfloat16 element needs no gradient', async () => {
    const x = leaf(3);
    rounded(x).backward();
    expect(await values(x.grad)).toEqual([1]);
  });

  test('gradients of a copy accumulate in the copied leaf', async () => {
    const x = leaf(1, 2);
    const copy = x.cast('bfloat16').requireGrad();
    copy.master = x;
    rounded(copy).backward(device.tensor(Float32Array.of(3, 4)));
    expect(copy.grad).toBeNull();
    expect(await values(x.grad)).toEqual([3, 4]);
  });
});

test('only tensors that require a gradient get one', async () => {
  const [x, constant] = [leaf(1), device.tensor(Float32Array.of(5))];
  const y = add(x, constant);
  y.backward();
  expect(await values(x.grad)).toEqual([1]);
  expect(constant.grad).toBeNull();
  const z = add(constant, constant);
  expect(z.requiresGrad).toBe(false);
  expect(() => z.backward()).toThrow(foretokenError('INVALID_ARGUMENT', 'no recorded operation'));
});

test('detach cuts the graph, and the detached leaf accumulates the gradient', async () => {
  const x = leaf(1, 2);
  const y = scale(x, 2);
  const cut = y.detach().requireGrad();
  scope(() => scale(cut, 5).backward(ones(cut)));
  scope(() => silu(cut).backward(device.zeros([2])));
  expect(x.grad).toBeNull();
  y.backward(cut.grad!);
  expect(await values(x.grad)).toEqual([10, 10]);
});

test('noGrad records nothing, and recording continues after an error inside', () => {
  const x = leaf(1);
  expect(noGrad(() => scale(x, 2)).requiresGrad).toBe(false);
  expect(() =>
    noGrad(() => {
      throw new Error('inside');
    }),
  ).toThrow('inside');
  expect(scale(x, 2).requiresGrad).toBe(true);
});

test('a second backward is an error that changes nothing', async () => {
  const x = leaf(1, 2);
  const shared = silu(x);
  const [first, second] = [scale(shared, 2), scale(shared, 3)];
  const live = native.liveTensors();
  first.backward(ones(first));
  const gradient = await values(x.grad);
  for (const root of [first, second]) {
    expect(() => root.backward(ones(root))).toThrow(foretokenError('INVALID_ARGUMENT', 'already been used'));
  }
  expect(await values(x.grad)).toEqual(gradient);
  expect(native.liveTensors()).toBeLessThanOrEqual(live + 5);
});

test('several roots share their graph', async () => {
  const x = leaf(1, 2);
  const shared = scale(x, 2);
  const [a, b] = [scale(shared, 3), scale(shared, 5)];
  backward([
    [a, ones(a)],
    [b, ones(b)],
  ]);
  expect(await values(x.grad)).toEqual([16, 16]);
});

test('gradients of another shape and tensors outside a graph are refused', () => {
  const x = leaf(1, 2);
  const y = scale(x, 2);
  expect(() => y.backward()).toThrow(foretokenError('INVALID_ARGUMENT', '[2]'));
  expect(() => y.backward(device.zeros([3]))).toThrow(foretokenError('SHAPE_MISMATCH', '[3]', '[2]'));
  expect(() => y.requireGrad()).toThrow(foretokenError('INVALID_ARGUMENT', 'requireGrad'));
  y.backward(ones(y)); // the refused calls did not consume the graph
});

test('the gradient of a view is added to the gradient of its leaf', async () => {
  const x = leaf(1, 2, 3, 4);
  const y = reshape(x, [2, 2]);
  add(y, scale(y, 2)).backward(ones(y));
  expect(await values(x.grad)).toEqual([3, 3, 3, 3]);
});

describe('memory', () => {
  test('of a graph is freed by backward, or by its scope', async () => {
    const x = keep(leaf(1, 2, 3));
    const weight = keep(leaf(1, 1, 1));
    const start = native.liveTensors();
    scope(() => {
      const y = rmsNorm(silu(add(x, x)), weight, 1e-5);
      y.backward(ones(y));
    });
    expect(native.liveTensors()).toBe(start + 2); // the gradients of x and weight
    scope(() => rmsNorm(silu(add(x, x)), weight, 1e-5)); // never used; freed with y below
    const unused = scope(() => silu(scale(x, 3)));
    unused.dispose();
    for (const tensor of [x, weight]) {
      tensor.grad!.dispose();
      tensor.dispose();
    }
  });

  test('of everything inside a scope is freed at its end, gradients included', () => {
    scope(() => {
      const [x, w] = [leaf(1, 2, 3, 4), device.tensor(new Float32Array(8).fill(0.5), [2, 4]).requireGrad()];
      const y = concat(linear(reshape(x, [1, 4]), w), linear(reshape(silu(x), [1, 4]), w));
      y.backward(ones(y));
      silu(y.detach().requireGrad());
    });
    expect(native.liveTensors()).toBe(before);
    expect(device.memory().live).toBe(0);
  });

  test('of a graph that a scope returns stays, its leaves included', async () => {
    const y = scope(() => scale(silu(leaf(1, 2)), 2));
    y.backward(ones(y));
    y.dispose();
  });

  test('a gradient outlives the scope of backward, as long as its leaf lives', async () => {
    const x = leaf(1, 2);
    scope(() => scope(() => scale(x, 2)).backward(ones(x)));
    expect(await values(x.grad)).toEqual([2, 2]);
    const inner = scope(() => {
      const z = leaf(1, 2);
      scope(() => scale(z, 3).backward(ones(z)));
      return z;
    });
    expect(await values(inner.grad)).toEqual([3, 3]);
    for (const tensor of [x, inner]) {
      tensor.grad!.dispose();
      tensor.dispose();
    }
    expect(native.liveTensors()).toBe(before);
  });

  test('is freed if backward runs out of memory', () => {
    const tight = openDevice('cpu', { threads: 1, memoryLimit: 28_000 });
    try {
      const x = tight.empty([1000]).fill(1).requireGrad();
      const upstream = tight.empty([1000]).fill(1);
      const start = native.liveTensors();
      scope(() => {
        const y = silu(silu(silu(scale(x, 2))));
        expect(() => y.backward(upstream)).toThrow(foretokenError('OUT_OF_MEMORY'));
      });
      expect(native.liveTensors()).toBe(start);
      expect(x.grad).toBeNull();
      scope(() => scale(x, 2).backward(upstream));
      expect(x.grad).not.toBeNull();
    } finally {
      tight.dispose();
    }
  });
});

test('a whole network has the gradients of its loss', async () => {
  const random = new Random(3);
  const input = (...shape: number[]) => ({
    data: random.floats(
      shape.reduce((a, b) => a * b),
      1,
    ),
    shape,
  });
  await checkGradients(
    device,
    [input(3, 5), input(7, 5), input(7), input(5), input(5, 7)],
    (x, w, b, g, u) => {
      const hidden = silu(linear(rmsNorm(x, g, 1e-5), w, b));
      return add(x, linear(hidden, u));
    },
  );
});
