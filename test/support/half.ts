// 16-bit floats on the host, by the definition of the formats.

export type HalfDType = 'bfloat16' | 'float16';

/** The bits of `values`, which must be representable (see {@link representable}); no float16 denormals. */
export function encode(values: Float32Array, dtype: HalfDType): Uint16Array {
  if (dtype === 'bfloat16') {
    return Uint16Array.from(new Uint32Array(values.slice().buffer), (bits) => bits >>> 16);
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

/** Values near `values` that the dtype can hold: rounded toward zero to its number of significant bits. */
export function representable(values: Float32Array, dtype: HalfDType): Float32Array {
  const kept = dtype === 'bfloat16' ? 0xffff0000 : 0xffffe000;
  const bits = new Uint32Array(values.slice().buffer).map((word) => word & kept);
  const result = new Float32Array(bits.buffer);
  // Below its normal range float16 has fewer bits.
  return dtype === 'float16' ? result.map((value) => (Math.abs(value) < 2 ** -14 ? 0 : value)) : result;
}
