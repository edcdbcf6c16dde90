import { TENSOR_TYPES, type TensorType } from './format';

// Numbers of a quantized tensor lie in blocks: small integers q, and one or two float16 scales d and m for all of them, so that a
// number is d · q, d · q − m or d · q + m. Blocks of 256 ("K") hold eight or sixteen smaller blocks, whose scales are small integers
// themselves, multiples of d and m. All products are exact in float32; only the sum with m is rounded, once.
// Source: https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h and ggml-quants.c

/** Writes the numbers of the blocks in `bytes`, block by block, to `out`. */
type Dequantizer = (bytes: Uint8Array, out: Float32Array) => void;

/** The value of each pattern of 16 bits as a float16. */
const HALVES = Float32Array.from({ length: 2 ** 16 }, (_, bits) => {
  const sign = bits & 0x8000 ? -1 : 1;
  const [exponent, fraction] = [(bits >> 10) & 0x1f, bits & 0x3ff];
  if (exponent === 0x1f) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : fraction * 2 ** -24);
});

function half(bytes: Uint8Array, at: number): number {
  return HALVES[bytes[at]! | (bytes[at + 1]! << 8)]!;
}

/** The values of the 4-bit numbers of IQ4_NL and IQ4_XS, which lie closer together near zero. */
const NON_LINEAR = Int8Array.of(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);

/** Calls `block` with the place of every block in the bytes and of its numbers in the output. */
function eachBlock(type: TensorType, bytes: Uint8Array, block: (at: number, to: number) => void): void {
  const { size, bytes: blockBytes } = TENSOR_TYPES[type];
  for (let at = 0, to = 0; at < bytes.length; at += blockBytes, to += size) block(at, to);
}

/** d | 16 bytes: q + 8 of number i in the low bits of byte i, of number i + 16 in its high bits. */
const q4_0: Dequantizer = (bytes, out) => {
  eachBlock('Q4_0', bytes, (at, to) => {
    const d = half(bytes, at);
    for (let i = 0; i < 16; i++) {
      const byte = bytes[at + 2 + i]!;
      out[to + i] = d * ((byte & 15) - 8);
      out[to + i + 16] = d * ((byte >> 4) - 8);
    }
  });
};

/** d | m | 16 bytes as in Q4_0, of q. */
const q4_1: Dequantizer = (bytes, out) => {
  eachBlock('Q4_1', bytes, (at, to) => {
    const d = half(bytes, at);
    const m = half(bytes, at + 2);
    for (let i = 0; i < 16; i++) {
      const byte = bytes[at + 4 + i]!;
      out[to + i] = d * (byte & 15) + m;
      out[to + i + 16] = d * (byte >> 4) + m;
    }
  });
};

/** Reads 32 fifth bits, bit i that of number i. */
function word(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}

/** d | the fifth bits of q + 16 | 16 bytes as in Q4_0. */
const q5_0: Dequantizer = (bytes, out) => {
  eachBlock('Q5_0', bytes, (at, to) => {
    const d = half(bytes, at);
    const high = word(bytes, at + 2);
    for (let i = 0; i < 16; i++) {
      const byte = bytes[at + 6 + i]!;
      out[to + i] = d * (((byte & 15) | (((high >>> i) & 1) << 4)) - 16);
      out[to + i + 16] = d * (((byte >> 4) | (((high >>> (i + 16)) & 1) << 4)) - 16);
    }
  });
};

/** d | m | the fifth bits of q | 16 bytes as in Q4_0. */
const q5_1: Dequantizer = (bytes, out) => {
  eachBlock('Q5_1', bytes, (at, to) => {
    const d = half(bytes, at);
    const m = half(bytes, at + 2);
    const high = word(bytes, at + 4);
    for (let i = 0; i < 16; i++) {
      const byte = bytes[at + 8 + i]!;
      out[to + i] = d * ((byte & 15) | (((high >>> i) & 1) << 4)) + m;
      out[to + i + 16] = d * ((byte >> 4) | (((high >>> (i + 16)) & 1) << 4)) + m;
    }
  });
};

/** d | 32 signed bytes. */
const q8_0: Dequantizer = (bytes, out) => {
  eachBlock('Q8_0', bytes, (at, to) => {
    const d = half(bytes, at);
    for (let i = 0; i < 32; i++) out[to + i] = d * ((bytes[at + 2 + i]! << 24) >> 24);
  });
};

/**
 * Reads the scale of small block `j` of eight, six bits, in the 12 bytes of Q4_K and Q5_K: bytes 0 … 3 and 4 … 7 hold scales and
 * minima of blocks 0 … 3 in their low six bits, and the upper two bits of those of blocks 4 … 7, whose lower four are in bytes 8 … 11.
 */
function scaleOf(bytes: Uint8Array, at: number, j: number): number {
  return j < 4 ? bytes[at + j]! & 63 : (bytes[at + j + 4]! & 15) | ((bytes[at + j - 4]! >> 6) << 4);
}

/** Reads the minimum of small block `j`; see {@link scaleOf}. */
function minimumOf(bytes: Uint8Array, at: number, j: number): number {
  return j < 4 ? bytes[at + j + 4]! & 63 : (bytes[at + j + 4]! >> 4) | ((bytes[at + j]! >> 6) << 4);
}

/** d | m | 12 bytes of scales | 128 bytes: 32 for each two small blocks, the first in the low bits. */
const q4_k: Dequantizer = (bytes, out) => {
  eachBlock('Q4_K', bytes, (at, to) => {
    const d = half(bytes, at);
    const m = half(bytes, at + 2);
    for (let j = 0; j < 8; j += 2) {
      const [scale, scale1] = [d * scaleOf(bytes, at + 4, j), d * scaleOf(bytes, at + 4, j + 1)];
      const [minimum, minimum1] = [m * minimumOf(bytes, at + 4, j), m * minimumOf(bytes, at + 4, j + 1)];
      const [from, first] = [at + 16 + j * 16, to + j * 32];
      // To read each byte once saves a quarter of the time.
      for (let i = 0; i < 32; i++) {
        const byte = bytes[from + i]!;
        out[first + i] = scale * (byte & 15) - minimum;
        out[first + 32 + i] = scale1 * (byte >> 4) - minimum1;
      }
    }
  });
};

/** d | m | 12 bytes of scales | 32 bytes of fifth bits, bit j of byte i that of number i of small block j | 128 bytes as in Q4_K. */
const q5_k: Dequantizer = (bytes, out) => {
  eachBlock('Q5_K', bytes, (at, to) => {
    const d = half(bytes, at);
    const m = half(bytes, at + 2);
    for (let j = 0; j < 8; j++) {
      const scale = d * scaleOf(bytes, at + 4, j);
      const minimum = m * minimumOf(bytes, at + 4, j);
      const [from, shift] = [at + 48 + (j >> 1) * 32, (j & 1) * 4];
      for (let i = 0; i < 32; i++) {
        const q = ((bytes[from + i]! >> shift) & 15) | (((bytes[at + 16 + i]! >> j) & 1) << 4);
        out[to + j * 32 + i] = scale * q - minimum;
      }
    }
  });
};

/**
 * 128 bytes of low four bits of q + 32 | 64 bytes of its upper two | 16 signed scales of 16 numbers each | d. Each half of the block has
 * four runs of 32 numbers: runs 0 and 1 lie in the low bits of 64 bytes, runs 2 and 3 in their high bits; the upper two bits of run r
 * are bits 2r and 2r + 1 of 32 bytes.
 */
const q6_k: Dequantizer = (bytes, out) => {
  eachBlock('Q6_K', bytes, (at, to) => {
    const d = half(bytes, at + 208);
    for (let run = 0; run < 8; run++) {
      const [part, r] = [run >> 2, run & 3];
      const [low, high] = [at + part * 64 + (r & 1) * 32, at + 128 + part * 32];
      for (let i = 0; i < 32; i++) {
        const scale = (bytes[at + 192 + run * 2 + (i >> 4)]! << 24) >> 24;
        const q = ((bytes[low + i]! >> ((r >> 1) * 4)) & 15) | (((bytes[high + i]! >> (r * 2)) & 3) << 4);
        out[to + run * 32 + i] = d * scale * (q - 32);
      }
    }
  });
};

/** As Q4_0, but the four bits are indices of {@link NON_LINEAR}. */
const iq4_nl: Dequantizer = (bytes, out) => {
  eachBlock('IQ4_NL', bytes, (at, to) => {
    const d = half(bytes, at);
    for (let i = 0; i < 16; i++) {
      const byte = bytes[at + 2 + i]!;
      out[to + i] = d * NON_LINEAR[byte & 15]!;
      out[to + i + 16] = d * NON_LINEAR[byte >> 4]!;
    }
  });
};

/**
 * d | 16 bits, the upper two of each scale + 32 | 4 bytes, its lower four | 128 bytes: eight small blocks as in IQ4_NL, without d.
 */
const iq4_xs: Dequantizer = (bytes, out) => {
  eachBlock('IQ4_XS', bytes, (at, to) => {
    const d = half(bytes, at);
    const upper = bytes[at + 2]! | (bytes[at + 3]! << 8);
    for (let j = 0; j < 8; j++) {
      const lower = (bytes[at + 4 + (j >> 1)]! >> ((j & 1) * 4)) & 15;
      const scale = d * ((lower | (((upper >> (j * 2)) & 3) << 4)) - 32);
      for (let i = 0; i < 16; i++) {
        const byte = bytes[at + 8 + j * 16 + i]!;
        out[to + j * 32 + i] = scale * NON_LINEAR[byte & 15]!;
        out[to + j * 32 + i + 16] = scale * NON_LINEAR[byte >> 4]!;
      }
    }
  });
};

/** The quantized types, and how their blocks are read. Numbers of the other types are taken as they are. */
export const DEQUANTIZERS: Partial<Record<TensorType, Dequantizer>> = {
  Q4_0: q4_0,
  Q4_1: q4_1,
  Q5_0: q5_0,
  Q5_1: q5_1,
  Q8_0: q8_0,
  Q4_K: q4_k,
  Q5_K: q5_k,
  Q6_K: q6_k,
  IQ4_NL: iq4_nl,
  IQ4_XS: iq4_xs,
};
