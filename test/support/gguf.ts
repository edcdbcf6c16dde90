// GGUF files written byte by byte, from the format's description alone.

/** Numbers of the types of metadata values. */
const TYPES = {
  uint8: 0,
  int8: 1,
  uint16: 2,
  int16: 3,
  uint32: 4,
  int32: 5,
  float32: 6,
  bool: 7,
  string: 8,
  array: 9,
  uint64: 10,
  int64: 11,
  float64: 12,
};
export type HandType = keyof typeof TYPES;

/** A metadata value: its type, and for an array the type of its elements. */
export type HandValue =
  | { type: Exclude<HandType, 'array'>; value: number | bigint | string | boolean }
  | { type: 'array'; of: Exclude<HandType, 'array'>; value: readonly (number | bigint | string | boolean)[] };

export interface HandTensor {
  name: string;
  /** Sizes as the format lists them, the length of a row first. */
  dims: readonly (number | bigint)[];
  type: number;
  offset: number | bigint;
}

export interface HandFile {
  magic?: string;
  version?: number;
  tensorCount?: number | bigint;
  entryCount?: number | bigint;
  metadata?: Record<string, HandValue>;
  /** Entries that follow those of `metadata`, as keys and values. */
  more?: [string, HandValue][];
  tensors?: readonly HandTensor[];
  alignment?: number;
  data?: Uint8Array;
}

const u32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const u64 = (value: number | bigint) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
const text = (value: string) => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);

function scalar(type: Exclude<HandType, 'array'>, value: number | bigint | string | boolean): Buffer {
  if (type === 'string') return text(String(value));
  const view = new DataView(new ArrayBuffer(8));
  const number = Number(value);
  const sizes = {
    uint8: () => (view.setUint8(0, number), 1),
    int8: () => (view.setInt8(0, number), 1),
    bool: () => (view.setUint8(0, number), 1),
    uint16: () => (view.setUint16(0, number, true), 2),
    int16: () => (view.setInt16(0, number, true), 2),
    uint32: () => (view.setUint32(0, number, true), 4),
    int32: () => (view.setInt32(0, number, true), 4),
    float32: () => (view.setFloat32(0, number, true), 4),
    uint64: () => (view.setBigUint64(0, BigInt(value), true), 8),
    int64: () => (view.setBigInt64(0, BigInt(value), true), 8),
    float64: () => (view.setFloat64(0, number, true), 8),
  };
  return Buffer.from(view.buffer, 0, sizes[type]());
}

function entry([key, value]: [string, HandValue]): Buffer {
  if (value.type !== 'array') {
    return Buffer.concat([text(key), u32(TYPES[value.type]), scalar(value.type, value.value)]);
  }
  const { of, value: items } = value;
  const head = [text(key), u32(TYPES.array), u32(TYPES[of]), u64(items.length)];
  return Buffer.concat([...head, ...items.map((item) => scalar(of, item))]);
}

/** Writes a file; anything may be wrong with it. */
export function handmadeGguf(file: HandFile): Uint8Array {
  const entries = [...Object.entries(file.metadata ?? {}), ...(file.more ?? [])];
  const tensors = file.tensors ?? [];
  const head = Buffer.concat([
    Buffer.from(file.magic ?? 'GGUF', 'latin1'),
    u32(file.version ?? 3),
    u64(file.tensorCount ?? tensors.length),
    u64(file.entryCount ?? entries.length),
    ...entries.map(entry),
    ...tensors.map(({ name, dims, type, offset }) =>
      Buffer.concat([text(name), u32(dims.length), ...dims.map(u64), u32(type), u64(offset)]),
    ),
  ]);
  const alignment = file.alignment ?? 32;
  const padding = Buffer.alloc((alignment - (head.length % alignment)) % alignment);
  return new Uint8Array(Buffer.concat([head, padding, file.data ?? Buffer.alloc(0)]));
}

/** Describes metadata by the JavaScript type of each value; numbers are uint32, unless they are fractions. */
export function handMetadata(
  values: Record<string, string | number | boolean | readonly string[] | readonly number[]>,
): Record<string, HandValue> {
  const scalarType = (value: string | number | boolean) => {
    if (typeof value === 'string') return 'string';
    if (typeof value === 'boolean') return 'bool';
    return Number.isInteger(value) && value >= 0 ? 'uint32' : 'float32';
  };
  return Object.fromEntries(
    Object.entries(values).map(([key, value]): [string, HandValue] => {
      if (typeof value !== 'object') return [key, { type: scalarType(value), value }];
      const types = value.map(scalarType);
      const of = types.includes('float32') ? 'float32' : (types[0] ?? 'uint32');
      return [key, { type: 'array', of, value }];
    }),
  );
}
