import { TENSOR_TYPES } from './format';

/** Rounds a nonnegative number to the bits of a float16, to nearest even; what is too large becomes infinite. */
function halfBits(value: number): number {
  if (value === 0) return 0;
  const exponent = Math.max(-14, Math.floor(Math.log2(value)));
  // Numbers below 2^-14 have the exponent bits 0 and no leading 1; a rounding that carries gives the next exponent by itself.
  const steps = roundEven(value / 2 ** (exponent - 10));
  return Math.min(0x7c00, steps + ((exponent + 14) << 10));
}

function roundEven(value: number): number {
  const whole = Math.floor(value);
  const rest = value - whole;
  return rest > 0.5 || (rest === 0.5 && whole % 2 === 1) ? whole + 1 : whole;
}

/** Rounds to the nearest integer, halves away from zero, as C's `roundf` does. */
function roundAway(value: number): number {
  return Math.sign(value) * Math.floor(Math.abs(value) + 0.5);
}

/**
 * Converts numbers to blocks of Q8_0: the largest of 32 numbers becomes ±127, in float32 arithmetic as llama.cpp's reference
 * (quantize_row_q8_0_ref).
 */
export function toQ8(values: Float32Array): Uint8Array {
  const { size, bytes } = TENSOR_TYPES.Q8_0;
  const blocks = Buffer.alloc((values.length / size) * bytes);
  for (let first = 0, at = 0; first < values.length; first += size, at += bytes) {
    let largest = 0;
    for (let i = first; i < first + size; i++) largest = Math.max(largest, Math.abs(values[i]!));
    const scale = Math.fround(largest / 127);
    const inverse = scale > 0 ? Math.fround(1 / scale) : 0;
    blocks.writeUInt16LE(halfBits(scale), at);
    for (let i = 0; i < size; i++) {
      blocks.writeInt8(roundAway(Math.fround(values[first + i]! * inverse)), at + 2 + i);
    }
  }
  return blocks;
}

/** Rounds float32 numbers to the bits of bfloat16, to nearest even. */
export function toBfloat16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  return Uint16Array.from(words, (bits) => (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16);
}

/** Widens the bits of bfloat16 numbers. */
export function fromBfloat16(bits: Uint16Array): Float32Array<ArrayBuffer> {
  return new Float32Array(Uint32Array.from(bits, (word) => word << 16).buffer);
}
