// No argument from JavaScript may crash the process: calls every function of the addon with broken arguments.
import { createHook } from 'node:async_hooks';
import * as fc from 'fast-check';
import { ForetokenError } from '../../lib/errors';
import { native } from '../../lib/native/load';
import { foretokenError } from '../support/errors';
import { DISRUPTIVE, validCalls, type NativeName } from '../support/native-calls';
import { prelude, runScript, success } from '../support/scripts';

const names = Object.keys(native) as NativeName[];
const calm = names.filter((name) => !DISRUPTIVE.some((other) => other === name)) as (keyof ReturnType<
  typeof validCalls
>)[];

/** Calls a function of the addon with any arguments, and returns the error that it throws or rejects with, if any. */
async function call(name: NativeName, args: readonly unknown[]): Promise<unknown> {
  try {
    await (native[name] as (...given: unknown[]) => unknown)(...args);
    return undefined;
  } catch (error) {
    return error;
  }
}

function detached(): Float32Array {
  const array = new Float32Array(4);
  structuredClone(array.buffer, { transfer: [array.buffer] });
  return array;
}

/** Values that no argument expects and some arguments could mistake for valid ones. */
const oddValues: (() => unknown)[] = [
  ...[undefined, null, true, false, NaN, Infinity, -Infinity, -0, 0, 1, -1, 0.5, 2, 3, 7].map(
    (value) => () => value,
  ),
  ...[2 ** 31, -(2 ** 31), 2 ** 32, 2 ** 52, 2 ** 53, -(2 ** 53), 1e300, 1e-300, 5e-324].map(
    (value) => () => value,
  ),
  ...['', 'float32', 'int32', 'cpu', '\0', '💥'.repeat(400), '%s%n'].map((value) => () => value),
  ...[0n, -1n, 2n ** 64n, 2n ** 200n].map((value) => () => value),
  ...[
    [],
    [0],
    [2 ** 52, 0],
    [0, 2 ** 52],
    [2 ** 26, 2 ** 26],
    [1, 1, 1, 1, 1, 1, 1],
    [-1],
    [NaN],
    [1.5],
    ['2'],
    [[2]],
  ].map((value) => () => value),
  () => Symbol('x'),
  () => ({}),
  () => ({ valueOf: () => 1, length: 3, 0: 1 }),
  () => () => 1,
  () => Object.create(null) as unknown,
  () => new Proxy([2], {}),
  () => new Date(),
  () => Promise.resolve(1),
  () => new Float32Array(0),
  () => new Float32Array(6),
  () => new Float32Array(new SharedArrayBuffer(24)),
  () => new Int32Array(3),
  () => new Uint16Array(4),
  () => new Float64Array(3),
  () => new BigInt64Array(3),
  () => new DataView(new ArrayBuffer(12)),
  () => new ArrayBuffer(12),
  detached,
  () => new Float32Array(new ArrayBuffer(16, { maxByteLength: 64 }), 4),
];

describe('with broken arguments', () => {
  let device = 0;
  let other = 0;
  beforeAll(() => {
    device = native.openCpu(undefined, 2);
    other = native.openCpu(undefined, 1);
  });
  afterAll(() => {
    native.closeDevice(device);
    native.closeDevice(other);
  });

  test('every function is covered', () => {
    expect(calm.sort()).toEqual(Object.keys(validCalls(device)).sort());
  });

  test.each(calm.filter((name) => name !== 'openCuda'))('%s succeeds with valid arguments', async (name) => {
    expect(await call(name, validCalls(device)[name]())).toBeUndefined();
    await native.synchronize(device);
  });

  test.each(calm.filter((name) => name !== 'openCuda'))('%s refuses one more argument', async (name) => {
    const args = validCalls(device)[name]();
    expect(await call(name, [...args, undefined])).toEqual(
      foretokenError(
        'INTERNAL',
        `${name}: ${args.length + 1} arguments were given, but ${args.length} are read`,
      ),
    );
  });

  test.each([2 ** 53, 2 ** 63, 2 ** 64, 1e300, Infinity, -1, 0.5, NaN])(
    'a dimension of %p is refused',
    (dim) => {
      for (const shape of [[dim], [0, dim], [1, dim, 1]]) {
        expect(() => native.empty(device, 'float32', shape)).toThrow(
          foretokenError('INVALID_ARGUMENT', 'empty: shape[', 'dimensions must be integers'),
        );
      }
    },
  );

  test('a weight of three dimensions is refused', () => {
    const weight = native.empty(device, 'float32', [5, 3, 2]);
    const error = (op: string, name: string): Error =>
      foretokenError('SHAPE_MISMATCH', `${op}: ${name} is [5, 3, 2], but must have 2 dimensions`);
    const x = native.empty(device, 'float32', [2, 3]);
    const y = native.empty(device, 'float32', [2, 5]);
    const tokens = native.fromData(device, 'int32', [2], Int32Array.of(0, 1));
    expect(() => native.linear(x, weight, undefined)).toThrow(error('linear', 'weight'));
    expect(() => native.packWeight(weight)).toThrow(error('packWeight', 'weight'));
    expect(() => native.linearBackwardInput(y, weight)).toThrow(error('linearBackwardInput', 'weight'));
    expect(() => native.embedding(tokens, weight)).toThrow(error('embedding', 'weight'));
    expect(() => native.rope(weight, tokens, x, 1, 1, false)).toThrow(error('rope', 'x'));
    for (const handle of [weight, x, y, tokens]) native.dispose(handle);
  });

  // Tensors of other kinds, and stale and foreign tensors.
  const tensors: (() => number)[] = [
    () => native.empty(device, 'float32', []),
    () => native.empty(device, 'float32', [0]),
    () => native.empty(device, 'float32', [2, 3]),
    () => native.empty(device, 'float32', [0, 2 ** 40]),
    () => native.empty(device, 'float32', [2 ** 52, 0]),
    () => native.empty(device, 'float32', [1, 1, 1, 1, 1, 1]),
    () => native.fromData(device, 'int32', [3], Int32Array.of(-1, 2 ** 31 - 1, -(2 ** 31))),
    () => {
      // Contents that only a kernel can check.
      const hidden = native.empty(device, 'int32', [3]);
      native.copyInto(hidden, native.fromData(device, 'int32', [3], Int32Array.of(5, -7, 2 ** 31 - 1)));
      return hidden;
    },
    () => native.empty(device, 'bfloat16', [5, 3]),
    () => native.empty(device, 'float16', [5, 3]),
    () => native.packWeight(native.empty(device, 'float32', [5, 3])),
    () => native.packWeight(native.empty(device, 'float32', [5, 3]), 'int8'),
    () => native.empty(other, 'float32', [2, 3]),
    () => {
      const stale = native.empty(device, 'float32', [2, 3]);
      native.dispose(stale);
      return stale;
    },
    () => device,
    () => other,
  ];
  const makers = [...oddValues, ...tensors];
  const mutation = fc.oneof(
    fc.record({ at: fc.nat(31), maker: fc.nat(makers.length - 1) }),
    fc.record({ drop: fc.nat(31) }),
    fc.record({ swap: fc.tuple(fc.nat(31), fc.nat(31)) }),
  );

  test.each(calm)('%s succeeds or throws a ForetokenError', async (name) => {
    await fc.assert(
      fc.asyncProperty(fc.array(mutation, { minLength: 1, maxLength: 3 }), async (mutations) => {
        const args = validCalls(device)[name]();
        for (const change of mutations) {
          if ('drop' in change) args.length = Math.min(args.length, change.drop);
          else if ('swap' in change) {
            const [i, j] = change.swap.map((index) => index % Math.max(args.length, 1)) as [number, number];
            if (args.length > 0) [args[i], args[j]] = [args[j], args[i]];
          } else args[change.at % (args.length + 1)] = makers[change.maker]!();
        }
        const error = await call(name, args);
        if (error !== undefined) expect(error).toBeInstanceOf(Error);
        const late = await call('synchronize', [device]);
        if (late !== undefined) expect(late).toBeInstanceOf(ForetokenError);
        native.trim(device);
      }),
      { numRuns: 150, seed: 7 },
    );
  });

  test.each(names)('%s with every odd value, as one argument and as all', async (name) => {
    for (const make of oddValues) {
      const value = make();
      if (name === 'openCpu' && typeof value === 'number') continue; // would open a device
      if (name === 'setErrorClass' && typeof value === 'function') continue;
      for (const args of [[value], [value, value], Array.from({ length: 40 }, () => value)]) {
        const error = await call(name, args);
        if (error !== undefined) expect(error).toBeInstanceOf(Error);
      }
    }
  });
});

// Such tensors need no work, however large their other dimensions are.
test('tensors without elements are valid', async () => {
  const device = native.openCpu(undefined, 2);
  const empty = (...shape: number[]): number => native.empty(device, 'float32', shape);
  const [huge, none] = [2 ** 40, native.empty(device, 'int32', [0])];
  native.packWeight(empty(huge, 0));
  native.linear(empty(0, 0), empty(huge, 0), undefined);
  native.linear(empty(huge, 0), empty(0, 0), undefined);
  native.linear(empty(0, huge), empty(0, huge), undefined);
  native.linearBackwardInput(empty(0, huge), empty(huge, 0));
  native.linearBackwardInput(empty(huge, 0), empty(0, 0));
  native.linearBackwardWeight(empty(0, huge), empty(0, 0), empty(huge, 0), undefined);
  native.linearBackwardWeight(empty(huge, 0), empty(huge, 0), empty(0, 0), empty(0));
  native.add(empty(huge, 0), empty(huge, 0));
  native.glu(empty(huge, 0), 'silu');
  native.concat(empty(huge, 0), empty(huge, 0));
  native.sliceColumns(empty(huge, 0), 0, 0);
  native.rmsNorm(empty(huge, 0), empty(0), 1e-5);
  native.embedding(none, empty(huge, 0));
  native.embeddingBackward(none, empty(0, 0), empty(huge, 0));
  native.rope(empty(0, huge), none, empty(0, huge / 4), 4, 2, false);
  native.sumSquares(empty(0));
  await native.synchronize(device);
  native.closeDevice(device);
});

test('a getter may dispose of an argument', async () => {
  const device = native.openCpu(undefined, 1);
  const tensor = native.empty(device, 'float32', [6]);
  const shape = [0];
  Object.defineProperty(shape, 0, {
    get: () => {
      native.dispose(tensor);
      for (let i = 0; i < 10_000; i++) native.empty(device, 'float32', [1]);
      return 2;
    },
  });
  expect(() => native.view(shape, tensor, 0)).toThrow(foretokenError('INVALID_HANDLE', 'view: tensor'));
  native.closeDevice(device);
});

test('a getter may throw or close the device', async () => {
  const device = native.openCpu(undefined, 1);
  const failing = Object.defineProperty([0], 0, {
    get: () => {
      throw new RangeError('mine');
    },
  });
  expect(() => native.empty(device, 'float32', failing)).toThrow(new RangeError('mine'));
  const closing = Object.defineProperty([0], 0, {
    get: () => {
      native.closeDevice(device);
      return 3;
    },
  });
  const orphan = native.empty(device, 'float32', closing);
  await expect(native.read(orphan)).resolves.toHaveLength(3);
  native.dispose(orphan);
});

test('a getter may change the array that it belongs to', () => {
  const device = native.openCpu(undefined, 1);
  const longer = Object.defineProperty([0, 3], 0, {
    get: () => {
      for (let i = 0; i < 10_000; i++) longer.push(1);
      return 2;
    },
  });
  const tensor = native.empty(device, 'float32', longer);
  expect(native.shapeOf(tensor)).toEqual([2, 3]);
  const shorter = Object.defineProperty([0, 3], 0, {
    get: () => {
      shorter.length = 1;
      return 2;
    },
  });
  expect(() => native.empty(device, 'float32', shorter)).toThrow(
    foretokenError('INVALID_ARGUMENT', 'empty: shape[1] is nan'),
  );
  native.closeDevice(device);
});

describe.each([
  ['detaches', (buffer: ArrayBuffer) => structuredClone(buffer, { transfer: [buffer] }), '0 elements'],
  ['shrinks', (buffer: ArrayBuffer) => buffer.resize(11), '2 elements'],
] as const)('what %s the data of a call', (_, change, left) => {
  const resizable = (): ArrayBuffer => new ArrayBuffer(16, { maxByteLength: 1 << 24 });
  let device = 0;
  beforeAll(() => (device = native.openCpu(undefined, 1)));
  afterAll(() => native.closeDevice(device));

  test('before it', () => {
    for (const data of [new Float32Array(resizable()), new Int32Array(resizable())]) {
      change(data.buffer);
      const dtype = data instanceof Int32Array ? 'int32' : 'float32';
      expect(() => native.fromData(device, dtype, [4], data)).toThrow(foretokenError('SHAPE_MISMATCH', left));
      expect(() => native.write(native.empty(device, dtype, [4]), data)).toThrow(
        foretokenError('SHAPE_MISMATCH', left),
      );
    }
  });

  test('before it, of a part', () => {
    const buffer = resizable();
    const data = new Float32Array(buffer, 8, 2);
    change(buffer);
    expect(() => native.fromData(device, 'float32', [2], data)).toThrow(
      foretokenError('SHAPE_MISMATCH', '0 elements'),
    );
  });

  test('during it', () => {
    const data = new Float32Array(resizable());
    const shape = Object.defineProperty([0], 0, {
      get: () => {
        change(data.buffer);
        return 4;
      },
    });
    expect(() => native.fromData(device, 'float32', shape, data)).toThrow(
      foretokenError('SHAPE_MISMATCH', left),
    );
  });

  test('after it', async () => {
    const data = new Float32Array(resizable()).fill(3);
    const tensor = native.fromData(device, 'float32', [4], data);
    change(data.buffer);
    expect(await native.read(tensor)).toEqual(new Float32Array(4).fill(3));
  });
});

// Filling a result calls setters of its prototype.
test('a setter may dispose of the result, or close its device', () => {
  const device = native.openCpu(undefined, 1);
  const tensor = native.empty(device, 'float32', [2, 3]);
  const during = (result: object, key: string, set: () => void, call: () => unknown): unknown => {
    const prototype = Object.getPrototypeOf(result) as object;
    Object.defineProperty(prototype, key, { set, configurable: true });
    try {
      return call();
    } finally {
      Reflect.deleteProperty(prototype, key);
    }
  };
  const dispose = (): void => {
    native.dispose(tensor);
    for (let i = 0; i < 100; i++) native.empty(device, 'float32', []);
  };
  const shape = during(native.shapeOf(tensor), '0', dispose, () => native.shapeOf(tensor));
  expect(shape).toHaveProperty('1', 3);
  const close = (): void => native.closeDevice(device);
  const described = during(native.describeDevice(device), 'kind', close, () => native.describeDevice(device));
  expect(described).toHaveProperty('description');
});

// Making a promise calls the hooks of node:async_hooks.
test('a hook may dispose of the tensor that is read', async () => {
  const device = native.openCpu(undefined, 1);
  const tensor = native.fromData(device, 'float32', [50_000], new Float32Array(50_000).fill(3));
  const hook = createHook({
    init: () => {
      hook.disable();
      native.dispose(tensor);
      native.trim(device);
      for (let i = 0; i < 100; i++) native.fill(native.empty(device, 'float32', [50_000]), 7);
    },
  }).enable();
  const contents = await native.read(tensor);
  expect(contents).toHaveLength(50_000);
  expect(contents.every((value) => value === 3)).toBe(true);
  native.closeDevice(device);
});

test.each([
  ['of its own', 'class extends ArrayBuffer { constructor() { super(1); } }', 'Error: read: ArrayBuffer'],
  ['that is none', 'undefined', 'Error: foretoken cannot be started'],
])('an ArrayBuffer %s that a script puts in the place of the real one', async (_, replacement, outcome) => {
  const replace = `globalThis.ArrayBuffer = ${replacement};`;
  const read = `
    const large = fill(native.openCpu(undefined, 1), 1 << 20, 1);
    Promise.resolve().then(() => native.read(large)).then(
      (contents) => console.log(contents.length),
      (error) => console.log(String(error)),
    );
  `;
  expect(await runScript(replace + read)).toEqual(success('1048576\n'));
  const before = `
    new Worker(${JSON.stringify(replace + prelude + read)}, { eval: true })
      .on('error', (error) => console.log(String(error)));
  `;
  const ended = await runScript(before);
  expect(ended).toEqual(success(expect.stringContaining(outcome) as string));
});

test.each([
  () => {
    throw new Error('no instances');
  },
  () => 1,
  class Abstract {
    readonly made = true;

    constructor() {
      throw new TypeError('abstract');
    }
  },
])('an error class that cannot be made: %#', (errorClass) => {
  native.setErrorClass(errorClass as never);
  try {
    expect(() => native.shapeOf(-1)).toThrow('tensor was disposed or is not a tensor');
  } finally {
    native.setErrorClass(ForetokenError);
  }
});

test('messages name the argument, what was given and what is allowed', () => {
  expect(() => native.silu('x' as never)).toThrow(
    foretokenError('INVALID_ARGUMENT', 'silu: x must be a tensor, but is a string'),
  );
  expect(() => native.empty(12345, 'float32', [1])).toThrow(
    foretokenError('INVALID_HANDLE', 'empty: device'),
  );
  expect(() => native.openCpu('sse9')).toThrow(
    foretokenError('DEVICE_UNAVAILABLE', 'openCpu: isa must be one of', 'sse9'),
  );
  expect(() => native.openCpu(undefined, 0)).toThrow(
    foretokenError('INVALID_ARGUMENT', 'threads', '1 … 1024', '0'),
  );
});
