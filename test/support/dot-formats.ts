// The dot formats by their definition: how weights are packed, how activations are converted, and their products.
import type { DotDType } from '../../lib/native/binding';
import { nearest } from './half';

/** A format of packed weights. */
interface DotFormat {
  /** The values that a packed weight holds for these numbers. */
  held(values: ArrayLike<number>, dim: number): Float64Array;
  /**
   * x Wᵀ of numbers that have not been converted yet.
   * @param round applied to every product and sum of floats that is not exact
   */
  multiply(
    x: ArrayLike<number>,
    weight: ArrayLike<number>,
    dim: number,
    round: (x: number) => number,
  ): Float64Array;
}

/** Rounds to nearest, and denormal numbers to 0. */
const toBFloat16 = (x: number): number => (Math.abs(x) < 2 ** -126 ? 0 : nearest(x, 'bfloat16'));

const bfloat16: DotFormat = {
  held: (values) => Float64Array.from(values, toBFloat16),
  multiply(x, weight, dim, round) {
    const [a, b] = [Float64Array.from(x, toBFloat16), Float64Array.from(weight, toBFloat16)];
    const [rows, outputs] = [a.length / dim, b.length / dim];
    const y = new Float64Array(rows * outputs);
    for (let row = 0; row < rows; row++) {
      for (let output = 0; output < outputs; output++) {
        let sum = 0;
        for (let i = 0; i < dim; i++) sum = round(sum + a[row * dim + i]! * b[output * dim + i]!);
        y[row * outputs + output] = sum;
      }
    }
    return y;
  },
};

const int8: DotFormat = {
  held: (values, dim) => dequantize(quantizeWeights(values, dim), dim),
  multiply: (x, weight, dim, round) =>
    multiplyGroups(quantizeRows(x, dim), quantizeWeights(weight, dim), dim, round),
};

export const dotFormats: Record<DotDType, DotFormat> = { bfloat16, int8 };

// In int8 every 32 numbers of a row share a scale.

const GROUP = 32;

/** Numbers of rows, as integers with a scale per group. */
interface Quantized {
  readonly integers: Int8Array;
  /** One scale for each group of each row, in order; NaN if a number of the group is not finite. */
  readonly scales: Float64Array;
  readonly groups: number;
}

function toEven(x: number): number {
  const low = Math.floor(x);
  const rest = x - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 !== 0) ? low + 1 : low;
}

/**
 * Quantizes rows of `dim` numbers to int8.
 * @param roundScale applied to a scale before numbers are divided by it; scales of weights are stored in bfloat16
 */
function quantize(values: ArrayLike<number>, dim: number, roundScale: (scale: number) => number): Quantized {
  const groups = Math.ceil(dim / GROUP);
  const rows = values.length / dim;
  const [integers, scales] = [new Int8Array(values.length), new Float64Array(rows * groups)];
  for (let row = 0; row < rows; row++) {
    for (let group = 0; group < groups; group++) {
      const [begin, end] = [row * dim + group * GROUP, row * dim + Math.min(dim, (group + 1) * GROUP)];
      const numbers = Array.from({ length: end - begin }, (_, i) => values[begin + i]!);
      const scale = scaleFor(numbers, roundScale);
      scales[row * groups + group] = scale;
      const inverse = Math.fround(1 / scale);
      if (scale > 0) numbers.forEach((x, i) => (integers[begin + i] = toEven(Math.fround(x * inverse))));
    }
  }
  return { integers, scales, groups };
}

function scaleFor(numbers: readonly number[], round: (scale: number) => number): number {
  if (!numbers.every(Number.isFinite)) return NaN;
  const scale = Math.fround(Math.max(...numbers.map(Math.abs)) / 127);
  return scale < 2 ** -120 ? 0 : round(scale);
}

/** Quantizes as packed weights are stored. */
const quantizeWeights = (values: ArrayLike<number>, dim: number): Quantized =>
  quantize(values, dim, (scale) => nearest(scale, 'bfloat16'));

/** Quantizes as `linear` converts its input. */
const quantizeRows = (values: ArrayLike<number>, dim: number): Quantized =>
  quantize(values, dim, (scale) => scale);

/** The numbers that the integers stand for; float32 holds them exactly if scales are bfloat16. */
function dequantize({ integers, scales, groups }: Quantized, dim: number): Float64Array {
  return Float64Array.from(integers, (integer, i) => {
    const [row, column] = [Math.floor(i / dim), i % dim];
    return integer * scales[row * groups + Math.floor(column / GROUP)]!;
  });
}

/** x Wᵀ, with an exact sum of integers for each group. */
function multiplyGroups(x: Quantized, w: Quantized, dim: number, round: (x: number) => number): Float64Array {
  const [rows, outputs] = [x.integers.length / dim, w.integers.length / dim];
  const y = new Float64Array(rows * outputs);
  for (let row = 0; row < rows; row++) {
    for (let output = 0; output < outputs; output++) {
      let sum = 0;
      for (let group = 0; group < x.groups; group++) {
        let dot = 0;
        for (let i = group * GROUP; i < Math.min(dim, (group + 1) * GROUP); i++) {
          dot += x.integers[row * dim + i]! * w.integers[output * dim + i]!;
        }
        const scale = round(x.scales[row * x.groups + group]! * w.scales[output * w.groups + group]!);
        sum = round(sum + round(dot * scale));
      }
      y[row * outputs + output] = sum;
    }
  }
  return y;
}
