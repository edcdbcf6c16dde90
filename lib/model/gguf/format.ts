import { ForetokenError } from '../../errors';

// A GGUF file is "GGUF" | version | number of tensors | number of metadata entries | the entries | the tensors' directory | padding |
// the tensors' bytes, each at a multiple of the alignment. All numbers are little-endian.
// Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md

export const MAGIC = 'GGUF';
/** The version that is written. Version 2 differs only in that it knows no big-endian files. */
export const VERSION = 3;
/** Alignment of tensors, unless the metadata have `general.alignment`. */
export const DEFAULT_ALIGNMENT = 32;

/** The types of metadata values, by number. */
export const VALUE_TYPES = [
  'uint8',
  'int8',
  'uint16',
  'int16',
  'uint32',
  'int32',
  'float32',
  'bool',
  'string',
  'array',
  'uint64',
  'int64',
  'float64',
] as const;

export type ValueType = (typeof VALUE_TYPES)[number];

/** Numbers of an array in the metadata. */
export type NumberArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigInt64Array
  | BigUint64Array;

/** A metadata value. A 64-bit integer that a number cannot hold exactly is a bigint. */
export type GgufValue = number | bigint | boolean | string | readonly string[] | NumberArray;

/** A type of tensor that is read: how many numbers a block holds, in how many bytes. */
interface BlockType {
  readonly number: number;
  readonly size: number;
  readonly bytes: number;
}

/** The types of tensors that are read. */
export const TENSOR_TYPES = {
  F32: { number: 0, size: 1, bytes: 4 },
  F16: { number: 1, size: 1, bytes: 2 },
  Q4_0: { number: 2, size: 32, bytes: 18 },
  Q4_1: { number: 3, size: 32, bytes: 20 },
  Q5_0: { number: 6, size: 32, bytes: 22 },
  Q5_1: { number: 7, size: 32, bytes: 24 },
  Q8_0: { number: 8, size: 32, bytes: 34 },
  Q4_K: { number: 12, size: 256, bytes: 144 },
  Q5_K: { number: 13, size: 256, bytes: 176 },
  Q6_K: { number: 14, size: 256, bytes: 210 },
  IQ4_NL: { number: 20, size: 32, bytes: 18 },
  IQ4_XS: { number: 23, size: 256, bytes: 136 },
  BF16: { number: 30, size: 1, bytes: 2 },
} as const satisfies Record<string, BlockType>;

export type TensorType = keyof typeof TENSOR_TYPES;

/** The types of tensors that are refused, for messages. */
export const OTHER_TENSOR_TYPES: Readonly<Record<number, string>> = {
  9: 'Q8_1',
  10: 'Q2_K',
  11: 'Q3_K',
  15: 'Q8_K',
  16: 'IQ2_XXS',
  17: 'IQ2_XS',
  18: 'IQ3_XXS',
  19: 'IQ1_S',
  21: 'IQ3_S',
  22: 'IQ2_S',
  24: 'I8',
  25: 'I16',
  26: 'I32',
  27: 'I64',
  28: 'F64',
  29: 'IQ1_M',
  34: 'TQ1_0',
  35: 'TQ2_0',
  39: 'MXFP4',
  40: 'NVFP4',
};

/** A tensor of a file. */
export interface GgufTensor {
  readonly type: TensorType;
  /** Sizes, rows first; the file lists them in the opposite order. */
  readonly shape: readonly number[];
  /** Place of the bytes, counted from the first byte of all tensors. */
  readonly begin: number;
  readonly end: number;
}

/** Multiplies sizes; the product is exact or not a safe integer. */
export function elements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Returns the number of bytes of `count` numbers, a multiple of the type's block. */
export function bytesOf(type: TensorType, count: number): number {
  return (count / TENSOR_TYPES[type].size) * TENSOR_TYPES[type].bytes;
}

export function corrupt(path: string, problem: string): ForetokenError {
  return new ForetokenError('CORRUPT_FILE', `${path}: ${problem}`);
}
