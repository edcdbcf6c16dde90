import { createHash } from 'node:crypto';
import { DEQUANTIZERS } from '../../../lib/model/gguf/dequantize';
import { TENSOR_TYPES, type TensorType } from '../../../lib/model/gguf/format';
import { decode } from '../../support/half';
import { Random } from '../../support/random';

/** Where the float16 scales lie in a block. */
const HALVES: Partial<Record<TensorType, number[]>> = {
  Q4_0: [0],
  Q4_1: [0, 2],
  Q5_0: [0],
  Q5_1: [0, 2],
  Q8_0: [0],
  Q4_K: [0, 2],
  Q5_K: [0, 2],
  Q6_K: [208],
  IQ4_NL: [0],
  IQ4_XS: [0],
};
const QUANTIZED = Object.keys(HALVES) as TensorType[];

function dequantize(type: TensorType, bytes: Uint8Array): Float32Array {
  const { size, bytes: blockBytes } = TENSOR_TYPES[type];
  const out = new Float32Array((bytes.length / blockBytes) * size);
  DEQUANTIZERS[type]!(bytes, out);
  return out;
}

it('is tested for every quantized type', () => {
  expect(Object.keys(DEQUANTIZERS).sort()).toEqual([...QUANTIZED].sort());
});

/**
 * Hashes of the float32 numbers that gguf-py (llama.cpp, 28 September 2026) makes of 64 blocks of the bytes SHA-256("TYPE 0"),
 * SHA-256("TYPE 1"), …, with bit 14 of every float16 scale cleared, so that all numbers are finite.
 */
const GGUF_PY: Partial<Record<TensorType, string>> = {
  Q4_0: 'daacdb3426dfd246e51bf87d6b6a843a',
  Q4_1: '5437a0d2121f43b86d62543a109a8af3',
  Q5_0: '5ef2f60d6dee8ef1cc9977456fe52e40',
  Q5_1: '07e1775ec7f3e66641d3a7874e15a84e',
  Q8_0: 'd8e5e6a4e520811ca55c87f2f9ab4987',
  Q4_K: '4db0b6674e598f7f4457a151f0c035ff',
  Q5_K: '5b0aa17d73cc3d8b75e9ea77b842397c',
  Q6_K: '035a9755d496a433a4a6154b2bd9a310',
  IQ4_NL: '43c9be665121a0c4b7b9362a5de853cd',
  IQ4_XS: '13fe14b9aa742d67676a57b30755794f',
};

const sha256 = (data: string | Uint8Array) => createHash('sha256').update(data);

it.each(QUANTIZED)('gives the numbers of gguf-py, bit for bit, for %s', (type) => {
  const blockBytes = TENSOR_TYPES[type].bytes;
  const pieces = Array.from({ length: (64 * blockBytes) / 32 }, (_, i) => sha256(`${type} ${i}`).digest());
  const bytes = new Uint8Array(Buffer.concat(pieces));
  for (let at = 0; at < bytes.length; at += blockBytes) {
    for (const scale of HALVES[type]!) bytes[at + scale + 1]! &= 0xbf;
  }
  const hash = sha256(new Uint8Array(dequantize(type, bytes).buffer)).digest('hex');
  expect(hash.slice(0, 32)).toBe(GGUF_PY[type]);
});

/** Bytes of a block, written bit by bit. */
class Bits {
  readonly bytes: Uint8Array;
  constructor(length: number) {
    this.bytes = new Uint8Array(length);
  }

  /** Puts `count` low bits of `value` at bit `shift` of byte `at`. */
  put(at: number, shift: number, count: number, value: number): void {
    for (let bit = 0; bit < count; bit++) {
      const place = at * 8 + shift + bit;
      if ((value >> bit) & 1) this.bytes[place >> 3]! |= 1 << (place & 7);
    }
  }
}

/** IQ4's levels, written out here again. */
const LEVELS = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/**
 * Packs known integers as the format's description says, and returns the block and its numbers. `draw(n)` gives an integer below n.
 */
type Packer = (block: Bits, draw: (below: number) => number) => number[];

const drawHalf = (draw: (below: number) => number) => (draw(2) << 15) | ((8 + draw(8)) << 10) | draw(1024);
const value = (bits: number) => decode(Uint16Array.of(bits), 'float16')[0]!;

/** Puts four low bits of 32 numbers: number i into byte i mod 16, low bits first. */
function putNibbles(block: Bits, at: number, q: readonly number[]): void {
  q.forEach((number, i) => block.put(at + (i % 16), i < 16 ? 0 : 4, 4, number));
}

const thirtyTwo = (draw: (below: number) => number, below: number) =>
  Array.from({ length: 32 }, () => draw(below));

/** Puts eight six-bit scales and minima into 12 bytes. */
function putScales(block: Bits, at: number, scales: readonly number[], minima: readonly number[]): void {
  for (let j = 0; j < 4; j++) {
    block.put(at + j, 0, 6, scales[j]!);
    block.put(at + 4 + j, 0, 6, minima[j]!);
    block.put(at + j, 6, 2, scales[j + 4]! >> 4);
    block.put(at + 4 + j, 6, 2, minima[j + 4]! >> 4);
    block.put(at + 8 + j, 0, 4, scales[j + 4]!);
    block.put(at + 8 + j, 4, 4, minima[j + 4]!);
  }
}

function packK(fifth: boolean): Packer {
  return (block, draw) => {
    const [d, m] = [drawHalf(draw), drawHalf(draw)];
    const scales = Array.from({ length: 8 }, () => draw(64));
    const minima = Array.from({ length: 8 }, () => draw(64));
    block.put(0, 0, 16, d);
    block.put(2, 0, 16, m);
    putScales(block, 4, scales, minima);
    const data = fifth ? 48 : 16;
    return scales.flatMap((scale, j) =>
      thirtyTwo(draw, fifth ? 32 : 16).map((q, i) => {
        block.put(data + Math.floor(j / 2) * 32 + i, (j % 2) * 4, 4, q);
        if (fifth) block.put(16 + i, j, 1, q >> 4);
        return value(d) * scale * q - value(m) * minima[j]!;
      }),
    );
  };
}

const PACKERS: Partial<Record<TensorType, Packer>> = {
  Q4_0: (block, draw) => {
    const [d, q] = [drawHalf(draw), thirtyTwo(draw, 16)];
    block.put(0, 0, 16, d);
    putNibbles(block, 2, q);
    return q.map((number) => value(d) * (number - 8));
  },
  Q4_1: (block, draw) => {
    const [d, m, q] = [drawHalf(draw), drawHalf(draw), thirtyTwo(draw, 16)];
    block.put(0, 0, 16, d);
    block.put(2, 0, 16, m);
    putNibbles(block, 4, q);
    return q.map((number) => value(d) * number + value(m));
  },
  Q5_0: (block, draw) => {
    const [d, q] = [drawHalf(draw), thirtyTwo(draw, 32)];
    block.put(0, 0, 16, d);
    q.forEach((number, i) => block.put(2, i, 1, number >> 4));
    putNibbles(block, 6, q);
    return q.map((number) => value(d) * (number - 16));
  },
  Q5_1: (block, draw) => {
    const [d, m, q] = [drawHalf(draw), drawHalf(draw), thirtyTwo(draw, 32)];
    block.put(0, 0, 16, d);
    block.put(2, 0, 16, m);
    q.forEach((number, i) => block.put(4, i, 1, number >> 4));
    putNibbles(block, 8, q);
    return q.map((number) => value(d) * number + value(m));
  },
  Q8_0: (block, draw) => {
    const [d, q] = [drawHalf(draw), thirtyTwo(draw, 256)];
    block.put(0, 0, 16, d);
    q.forEach((number, i) => block.put(2 + i, 0, 8, number));
    return q.map((number) => value(d) * (number < 128 ? number : number - 256));
  },
  Q4_K: packK(false),
  Q5_K: packK(true),
  Q6_K: (block, draw) => {
    const d = drawHalf(draw);
    block.put(208, 0, 16, d);
    const scales = Array.from({ length: 16 }, (_, j) => {
      const scale = draw(256);
      block.put(192 + j, 0, 8, scale);
      return scale < 128 ? scale : scale - 256;
    });
    return Array.from({ length: 256 }, (_, i) => {
      const q = draw(64);
      const [part, run, place] = [Math.floor(i / 128), Math.floor(i / 32) % 4, i % 32];
      block.put(part * 64 + (run % 2) * 32 + place, run < 2 ? 0 : 4, 4, q);
      block.put(128 + part * 32 + place, run * 2, 2, q >> 4);
      return value(d) * scales[Math.floor(i / 16)]! * (q - 32);
    });
  },
  IQ4_NL: (block, draw) => {
    const [d, q] = [drawHalf(draw), thirtyTwo(draw, 16)];
    block.put(0, 0, 16, d);
    putNibbles(block, 2, q);
    return q.map((number) => value(d) * LEVELS[number]!);
  },
  IQ4_XS: (block, draw) => {
    const d = drawHalf(draw);
    block.put(0, 0, 16, d);
    return Array.from({ length: 8 }, (_, j) => {
      const [scale, q] = [draw(64), thirtyTwo(draw, 16)];
      block.put(2, j * 2, 2, scale >> 4);
      block.put(4, j * 4, 4, scale);
      putNibbles(block, 8 + j * 16, q);
      return q.map((number) => value(d) * (scale - 32) * LEVELS[number]!);
    }).flat();
  },
};

it.each(QUANTIZED)('reads the integers that a block of %s was packed from', (type) => {
  const random = new Random(7);
  const draw = (below: number) => random.integer(below);
  for (let repeat = 0; repeat < 50; repeat++) {
    const block = new Bits(TENSOR_TYPES[type].bytes);
    const expected = PACKERS[type]!(block, draw);
    expect(dequantize(type, block.bytes)).toEqual(Float32Array.from(expected));
  }
});

it('reads scales that are subnormal, infinite and not numbers', () => {
  const block = (bits: number) => Uint8Array.of(bits & 255, bits >> 8, ...new Uint8Array(32).fill(1));
  expect(dequantize('Q8_0', block(0x8001))[0]).toBe(-(2 ** -24));
  expect(dequantize('Q8_0', block(0x7c00))[0]).toBe(Infinity);
  expect(dequantize('Q8_0', block(0x7e00))[0]).toBeNaN();
});
