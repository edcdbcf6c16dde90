// 16-bit floats on the host, by the definition of the formats, and tensors in these types.
import type { Device } from '../../lib/tensor/device';
import type { Tensor } from '../../lib/tensor/tensor';

export type HalfDType = 'bfloat16' | 'float16';

/** The bits of `values`, which must be representable (see {@link representable}); no float16 denormals. */
export function encode(values: Float32Array, dtype: HalfDType): Uint16Array {
  if (dtype === 'bfloat16') {
    const words = new Uint32Array(values.slice().buffer);
    const halves = new Uint16Array(words.length);
    for (let i = 0; i < words.length; i++) halves[i] = words[i]! >>> 16;
    return halves;
  }
  return Uint16Array.from(values, (value) => {
    const sign = Object.is(value, -0) || value < 0 ? 0x8000 : 0;
    if (Number.isNaN(value)) return 0x7e00;
    if (Math.abs(value) === Infinity) return sign | 0x7c00;
    if (value === 0) return sign;
    const exponent = Math.floor(Math.log2(Math.abs(value)));
    return sign | ((exponent + 15) << 10) | ((Math.abs(value) / 2 ** exponent - 1) * 1024);
  });
}

/** The values that these bits stand for. */
export function decode(bits: Uint16Array, dtype: HalfDType): Float32Array {
  if (dtype === 'bfloat16') return new Float32Array(Uint32Array.from(bits, (word) => word << 16).buffer);
  return Float32Array.from(bits, (word) => {
    const sign = word & 0x8000 ? -1 : 1;
    const [exponent, fraction] = [(word >> 10) & 0x1f, word & 0x3ff];
    if (exponent === 0x1f) return fraction ? NaN : sign * Infinity;
    return exponent ? sign * 2 ** (exponent - 15) * (1 + fraction / 1024) : sign * fraction * 2 ** -24;
  });
}

/** The nearest value that the dtype can hold; ties go to the even one. */
export function nearest(value: number, dtype: HalfDType): number {
  if (value === 0 || !Number.isFinite(value)) return value;
  const [bits, lowest, largest] = dtype === 'bfloat16' ? [7, -126, 255 * 2 ** 120] : [10, -14, 65504];
  const exponent = Math.max(lowest, Math.floor(Math.log2(Math.abs(value))));
  const quantum = 2 ** (exponent - bits);
  const steps = Math.abs(value) / quantum;
  const whole = Math.floor(steps);
  const up = steps - whole > 0.5 || (steps - whole === 0.5 && whole % 2 === 1);
  const magnitude = (up ? whole + 1 : whole) * quantum;
  return Math.sign(value) * (magnitude > largest ? Infinity : magnitude);
}

/** Values near `values` that the dtype can hold: rounded toward zero to its number of significant bits. */
export function representable(values: Float32Array, dtype: HalfDType): Float32Array {
  const kept = dtype === 'bfloat16' ? 0xffff0000 : 0xffffe000;
  const bits = new Uint32Array(values.slice().buffer).map((word) => word & kept);
  const result = new Float32Array(bits.buffer);
  // Below its normal range float16 has fewer bits.
  return dtype === 'float16' ? result.map((value) => (Math.abs(value) < 2 ** -14 ? 0 : value)) : result;
}

/** A tensor of these values, which the dtype must be able to hold. */
export function tensorOf(
  device: Device,
  values: Float32Array,
  shape: readonly number[],
  dtype: 'float32' | HalfDType,
): Tensor {
  return dtype === 'float32'
    ? device.tensor(values, shape)
    : device.tensor(encode(values, dtype), shape, dtype);
}
