import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { native } from '../../lib/native/load';
import { openDevice, type Device } from '../../lib/tensor/device';
import { add, scale } from '../../lib/tensor/ops/layers/elementwise';
import { inScope, keep, keepWith, scope } from '../../lib/tensor/scope';
import type { Tensor } from '../../lib/tensor/tensor';
import { foretokenError } from '../support/errors';

let device: Device;
beforeEach(() => {
  device = openDevice('cpu', { threads: 1 });
});
afterEach(() => device.dispose());

const make = (): Tensor => device.zeros([2]);

test('frees tensors made inside, except the result', () => {
  const made: Tensor[] = [];
  const result = scope(() => {
    for (let i = 0; i < 3; i++) made.push(make());
    return add(made[0]!, made[1]!);
  });
  expect(made.map((tensor) => tensor.disposed)).toEqual([true, true, true]);
  expect(result.disposed).toBe(false);
});

test('finds tensors in arrays and plain objects, also in cyclic ones', () => {
  interface Result {
    list: (Tensor | null)[];
    nested: { deep: Tensor };
    self?: Result;
  }
  const lost: Tensor[] = [];
  const result = scope(() => {
    lost.push(make());
    const value: Result = { list: [make(), null], nested: { deep: make() } };
    value.self = value;
    return value;
  });
  expect(result.list[0]!.disposed).toBe(false);
  expect(result.nested.deep.disposed).toBe(false);
  expect(lost[0]!.disposed).toBe(true);
});

test('a result belongs to the enclosing scope', () => {
  let inner: Tensor | undefined;
  scope(() => {
    inner = scope(make);
    expect(inner.disposed).toBe(false);
  });
  expect(inner!.disposed).toBe(true);
});

test('keep takes a tensor out of all scopes', () => {
  const kept = scope(() => scope(() => [keep(make())]).map(keep))[0]!;
  scope(() => scope(() => void keep(kept)));
  expect(kept.disposed).toBe(false);
  expect(keep(make()).disposed).toBe(false);
});

test('keepWith gives a tensor the lifetime of another', () => {
  let [outer, follower, free]: Tensor[] = [];
  scope(() => {
    outer = make();
    scope(() => {
      follower = keepWith(make(), outer!);
      free = keepWith(make(), keep(make()));
    });
    expect(follower!.disposed).toBe(false);
  });
  expect([outer!.disposed, follower!.disposed, free!.disposed]).toEqual([true, true, false]);
});

test('frees everything if the function throws, also in nested scopes', () => {
  const before = native.liveTensors();
  expect(() =>
    scope(() => {
      make();
      scope(() => {
        make();
        throw new Error('inside');
      });
    }),
  ).toThrow('inside');
  expect(native.liveTensors()).toBe(before);
  expect(inScope()).toBe(false);
});

test('refuses a function that returns a promise, and frees its tensors', () => {
  const before = native.liveTensors();
  expect(() => scope(() => Promise.resolve(make()))).toThrow(
    foretokenError('INVALID_ARGUMENT', 'scope: fn must be synchronous, but it returned a promise'),
  );
  expect(native.liveTensors()).toBe(before);
});

test('allows dispose inside, and a result from outside', () => {
  const outside = make();
  const result = scope(() => {
    make().dispose();
    using temporary = make();
    scale(temporary, 2);
    return outside;
  });
  expect(result).toBe(outside);
  expect(outside.disposed).toBe(false);
});

test('allows closing the device inside', () => {
  const before = native.liveTensors();
  scope(() => {
    const other = openDevice('cpu', { threads: 1 });
    other.zeros([2]);
    other.dispose();
  });
  expect(native.liveTensors()).toBe(before);
});

test('the garbage collector frees forgotten tensors', async () => {
  // Needs `node --expose-gc`; the flag can be set at run time.
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const before = native.liveTensors();
  for (let i = 0; i < 1000; i++) make();
  for (let i = 0; i < 50 && native.liveTensors() > before + 10; i++) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  expect(native.liveTensors()).toBeLessThanOrEqual(before + 10);
});
