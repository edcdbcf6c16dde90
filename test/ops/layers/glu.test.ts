// Gated linear units against their definitions in float64.
import { native } from '../../../lib/native/load';
import { glu, type GluActivation } from '../../../lib/tensor/ops/layers/glu';
import { Tensor } from '../../../lib/tensor/tensor';
import { expectRoundedOnce, expectWithinRoundings } from '../../support/accuracy';
import { onCpu } from '../../support/cpu';
import { bfloat16Targets, onAllVariants, onDevice, targets } from '../../support/devices';
import { foretokenError } from '../../support/errors';
import { checkGradients } from '../../support/gradcheck';
import { representable, tensorOf } from '../../support/half';
import { Random } from '../../support/random';

interface Activation {
  readonly value: (x: number) => number;
  readonly slope: (x: number) => number;
  /** The magnitude of the terms of the slope, which cancel near its zero. */
  readonly slopeSize: (x: number) => number;
  /** By how much a relative error of exp's argument grows in the value. */
  readonly condition: (x: number) => number;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** sqrt(2/pi) */
const GELU = Math.sqrt(2 / Math.PI);
const angle = (x: number): number => GELU * (x + 0.044715 * x ** 3);
/** (1 + tanh(t)) / 2 without cancellation. */
const share = (x: number): number => sigmoid(2 * angle(x));
const change = (x: number): number => 2 * share(x) * share(-x) * GELU * (1 + 3 * 0.044715 * x * x);

const activations: Record<GluActivation, Activation> = {
  silu: {
    value: (x) => x * sigmoid(x),
    slope: (x) => sigmoid(x) * (1 + x * sigmoid(-x)),
    slopeSize: (x) => sigmoid(x) * (1 + Math.abs(x) * sigmoid(-x)),
    condition: () => 1,
  },
  gelu_tanh: {
    value: (x) => x * share(x),
    slope: (x) => share(x) + x * change(x),
    slopeSize: (x) => share(x) + Math.abs(x) * change(x),
    condition: (x) => 1 + Math.abs(2 * angle(x)) * share(-x),
  },
};

const names = ['silu', 'gelu_tanh'] as const;
const random = new Random(23);
const matrices = [
  [0, 3],
  [3, 0],
  [1, 1],
  [1, 257],
  [7, 31],
  [47, 8],
  [130, 257],
] as const;
const cases = [
  ...targets.map((target) => [target, 'float32'] as const),
  ...bfloat16Targets.map((target) => [target, 'bfloat16'] as const),
];

function map(f: (...values: number[]) => number, ...inputs: ArrayLike<number>[]): Float64Array {
  return Float64Array.from({ length: inputs[0]!.length }, (_, i) => f(...inputs.map((input) => input[i]!)));
}

/** Puts rows of `dim` columns side by side. */
function beside(gate: Float32Array, up: Float32Array, dim: number): Float32Array {
  const both = new Float32Array(2 * gate.length);
  for (let i = 0; i < gate.length; i++) {
    const place = Math.floor(i / dim) * 2 * dim + (i % dim);
    both[place] = gate[i]!;
    both[place + dim] = up[i]!;
  }
  return both;
}

/** The columns first … first + dim - 1 of rows that have 2 · dim columns. */
function side(both: Float32Array, dim: number, first: number): Float32Array {
  const place = (i: number): number => Math.floor(i / dim) * 2 * dim + first + (i % dim);
  return Float32Array.from({ length: both.length / 2 }, (_, i) => both[place(i)]!);
}

describe.each(names)('%s', (name) => {
  const { value, slope, slopeSize, condition } = activations[name];

  describe.each(cases)('on %s in %s', (target, dtype) => {
    const expectClose = dtype === 'float32' ? expectWithinRoundings : expectRoundedOnce;

    test.each(matrices)('%i x %i rows and columns', async (rows, dim) => {
      const [gate, up, upstream] = [0, 1, 2].map(() =>
        representable(random.floats(rows * dim, 4), 'bfloat16'),
      ) as [Float32Array, Float32Array, Float32Array];
      const [out, gradient] = await onAllVariants(target, (device) => {
        const both = tensorOf(device, beside(gate, up, dim), [rows, 2 * dim], dtype);
        const grad = tensorOf(device, upstream, [rows, dim], dtype);
        const backward = new Tensor(device, native.gluBackward(grad.handle, both.handle, name));
        return [glu(both, name), backward].map((x) => x.cast('float32'));
      });
      expectClose(
        out!,
        map((g, u) => value(g) * u, gate, up),
        6,
        map((g, u) => value(g) * u * condition(g), gate, up),
      );
      expectClose(
        side(gradient!, dim, dim),
        map((g, y) => value(g) * y, gate, upstream),
        6,
        map((g, y) => value(g) * y * condition(g), gate, upstream),
      );
      expectClose(
        side(gradient!, dim, 0),
        map((g, u, y) => y * u * slope(g), gate, up, upstream),
        8,
        map((g, u, y) => y * u * slopeSize(g) * condition(g), gate, up, upstream),
      );
    });
  });

  // Where the share is denormal, it has an error of some 2⁻¹⁴⁹.
  const denormal = (x: number): number => Math.abs(x) * 2 ** -125;

  test.each(targets)('over the whole range, on %s', async (target) => {
    const gate = Float32Array.from({ length: 20_001 }, (_, i) => -86 + (166 * i) / 20_000);
    const ones = new Float32Array(gate.length).fill(1);
    const [out, gradient] = await onAllVariants(target, (device) => {
      const both = device.tensor(beside(gate, ones, gate.length), [1, 2 * gate.length]);
      const grad = device.tensor(ones, [1, gate.length]);
      return [glu(both, name), new Tensor(device, native.gluBackward(grad.handle, both.handle, name))];
    });
    expectWithinRoundings(
      out!,
      map(value, gate),
      4,
      map((g) => Math.abs(value(g)) * condition(g) + denormal(g), gate),
    );
    expectWithinRoundings(
      side(gradient!, gate.length, 0),
      map(slope, gate),
      6,
      // The exponent is up to 25 times as steep as its argument there.
      map((g) => slopeSize(g) * condition(g) + 25 * denormal(g), gate),
    );
  });

  test.each(targets)('at the ends of the range, on %s', async (target) => {
    const gate = Float32Array.of(0, -0, 1e-30, -1e-30, 17, -17, 3e38, -3e38, NaN, Infinity);
    const ones = new Float32Array(gate.length).fill(1);
    const [out, gradient] = await onAllVariants(target, (device) => {
      const both = device.tensor(beside(gate, ones, gate.length), [1, 2 * gate.length]);
      const grad = device.tensor(ones, [1, gate.length]);
      return [glu(both, name), new Tensor(device, native.gluBackward(grad.handle, both.handle, name))];
    });
    expectWithinRoundings(out!.subarray(0, 6), map(value, gate.subarray(0, 6)), 64);
    expect([...out!.subarray(6)].map((x) => x + 0)).toEqual([gate[6], 0, NaN, Infinity]);
    const slopes = side(gradient!, gate.length, 0);
    expectWithinRoundings(slopes.subarray(0, 6), map(slope, gate.subarray(0, 6)), 64);
    expect([...slopes.subarray(6, 9)].map((x) => x + 0)).toEqual([1, 0, NaN]);
  });

  test.each(targets)('the recorded gradient, on %s', async (target) => {
    await onDevice(target, (device) =>
      checkGradients(device, [{ data: random.floats(42, 2), shape: [3, 14] }], (x) => glu(x, name)),
    );
  });
});

test('the oracle is the approximation as PyTorch writes it', () => {
  for (const x of [-3, -1, 0.5, 2]) {
    expect(activations.gelu_tanh.value(x)).toBeCloseTo(0.5 * x * (1 + Math.tanh(angle(x))), 14);
  }
  // erf's GELU, which it approximates to 1e-3
  expect(activations.gelu_tanh.value(1)).toBeCloseTo(0.8413447, 3);
});

test('what does not fit is named', async () => {
  await onCpu({}, async (device) => {
    expect(() => glu(device.zeros([2, 3]), 'silu')).toThrow(
      foretokenError('SHAPE_MISMATCH', 'glu', 'gateUp', 'even'),
    );
    expect(() => glu(device.zeros([2, 4]), 'gelu' as never)).toThrow(
      foretokenError('INVALID_ARGUMENT', 'glu', 'activation', 'silu', 'gelu_tanh', 'gelu'),
    );
    const [x, grad] = [device.zeros([2, 4]), device.zeros([2, 4])];
    expect(() => native.gluBackward(grad.handle, x.handle, 'silu')).toThrow(
      foretokenError('SHAPE_MISMATCH', 'gluBackward', 'gradOut', '[2, 4]', '[2, 2]'),
    );
    await device.synchronize();
  });
});
