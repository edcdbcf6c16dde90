import { createHash } from 'node:crypto';
import { isInteger } from '../../check';
import { isJsonObject } from '../../files';
import { ForetokenError } from '../../errors';
import { outlineOfJson, parseJson } from '../../json';

// A file is the header's length N as u64 | N bytes of JSON | the tensors' bytes, one after another. All numbers are little-endian, as
// on every machine that this package runs on.

export const LENGTH_BYTES = 8;
/** The limit of the format's reference implementation; a larger length means that the file is not a safetensors file. */
export const MAX_HEADER_BYTES = 100_000_000;

/**
 * The typed array for a tensor's values, by element type. Types without an array in JavaScript (16-bit and 8-bit floats) are read as
 * their bits.
 */
export const ARRAYS = {
  F64: Float64Array,
  F32: Float32Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  F8_E4M3: Uint8Array,
  F8_E5M2: Uint8Array,
  I64: BigInt64Array,
  I32: Int32Array,
  I16: Int16Array,
  I8: Int8Array,
  U64: BigUint64Array,
  U32: Uint32Array,
  U16: Uint16Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
} as const;

export type SafetensorsDType = keyof typeof ARRAYS;
export type TensorData = InstanceType<(typeof ARRAYS)[SafetensorsDType]>;

export interface TensorInfo {
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
}

/** The place of a tensor's bytes, counted from the end of the header. */
export interface TensorEntry extends TensorInfo {
  readonly begin: number;
  readonly end: number;
}

export interface Header {
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** The file's `__metadata__` without the checksums. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Checksum of each tensor, if the file has checksums. */
  readonly checksums?: ReadonlyMap<string, string>;
}

export function byteLength({ dtype, shape }: TensorInfo): number {
  return shape.reduce((product, size) => product * size, ARRAYS[dtype].BYTES_PER_ELEMENT);
}

/** The entry of `__metadata__` that maps each tensor's name to a checksum, as JSON. */
export const CHECKSUMS_KEY = 'foretoken.checksums';
export const CHECKSUM_LENGTH = 32;

/** An unfinished checksum. Not a type of Node, because the published types must not need Node's. */
export interface Checksum {
  update(bytes: Uint8Array): unknown;
  digest(encoding: 'hex'): string;
}

/** Starts a tensor's checksum, which covers name, type and shape as well, so that it detects exchanged tensors. */
export function startChecksum(name: string, { dtype, shape }: TensorInfo): Checksum {
  return createHash('sha256').update(JSON.stringify([name, dtype, shape]));
}

export function finishChecksum(hash: Checksum): string {
  return hash.digest('hex').slice(0, CHECKSUM_LENGTH);
}

export function corrupt(path: string, problem: string, options?: ErrorOptions): ForetokenError {
  return new ForetokenError('CORRUPT_FILE', `${path}: ${problem}`, options);
}

/**
 * Parses and checks a header against the size of the file it came from.
 *
 * @param bytes the JSON, without the length field
 * @param dataBytes number of bytes after the header in the file
 * @throws CORRUPT_FILE naming the file and the tensor; UNSUPPORTED for an unknown element type
 */
export function parseHeader(path: string, bytes: Uint8Array, dataBytes: number): Header {
  const json = parseHeaderJson(path, bytes);
  const tensors = new Map<string, TensorEntry>();
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(json)) {
    if (name === '__metadata__') metadata = checkMetadata(path, value);
    else tensors.set(name, checkEntry(path, name, value, dataBytes));
  }
  checkLayout(path, tensors, dataBytes);
  const { [CHECKSUMS_KEY]: checksums, ...rest } = metadata;
  return {
    tensors,
    metadata: rest,
    checksums: checksums === undefined ? undefined : checkChecksums(path, checksums, tensors),
  };
}

function parseHeaderJson(path: string, bytes: Uint8Array): Record<string, unknown> {
  let text: string;
  let json: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    json = parseJson(text);
  } catch (cause) {
    throw corrupt(path, `the header is not JSON: ${(cause as Error).message}`, { cause });
  }
  if (!isJsonObject(json)) throw corrupt(path, 'the header is not a JSON object');
  const seen = new Set<string>();
  for (const name of outlineOfJson(text).keys) {
    if (seen.has(name)) throw corrupt(path, `tensor "${name}": the name occurs twice`);
    seen.add(name);
  }
  return json;
}

function checkMetadata(path: string, value: unknown): Record<string, string> {
  // As the reference implementation reads it.
  if (value === null) return {};
  if (!isJsonObject(value) || Object.values(value).some((entry) => typeof entry !== 'string')) {
    throw corrupt(path, '__metadata__ is not an object of strings');
  }
  return value as Record<string, string>;
}

function checkEntry(path: string, name: string, value: unknown, dataBytes: number): TensorEntry {
  const fail = (problem: string) => corrupt(path, `tensor "${name}": ${problem}`);
  if (!isJsonObject(value)) throw fail('its header entry is not an object');
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== 'string') throw fail('dtype is missing');
  if (!Object.hasOwn(ARRAYS, dtype)) {
    throw new ForetokenError(
      'UNSUPPORTED',
      `${path}: tensor "${name}": unknown dtype ${JSON.stringify(dtype)}`,
    );
  }
  if (!isSizes(shape)) throw fail(`shape ${JSON.stringify(shape)} is not a list of sizes`);
  if (!isSizes(offsets) || offsets.length !== 2) {
    throw fail(`data_offsets ${JSON.stringify(offsets)} are not [begin, end]`);
  }
  const [begin, end] = offsets as [number, number];
  if (begin > end) throw fail(`data_offsets [${begin}, ${end}] run backwards`);
  if (end > dataBytes) {
    throw fail(
      `its data ends at byte ${end}, but the file holds ${dataBytes} bytes of data; is it truncated?`,
    );
  }
  const entry = { dtype: dtype as SafetensorsDType, shape, begin, end };
  if (byteLength(entry) !== end - begin) {
    throw fail(
      `${dtype} [${shape.join(', ')}] takes ${byteLength(entry)} bytes, but its data has ${end - begin}`,
    );
  }
  return entry;
}

export function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => isInteger(size, 0));
}

/** Checks that the tensors' data neither overlap nor leave bytes unused, as the format requires. */
function checkLayout(path: string, tensors: ReadonlyMap<string, TensorEntry>, dataBytes: number): void {
  const inOrder = [...tensors].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  let previous = '';
  let position = 0;
  for (const [name, { begin, end }] of inOrder) {
    if (begin < position) throw corrupt(path, `tensor "${name}": its data overlaps that of "${previous}"`);
    if (begin > position)
      throw corrupt(path, `tensor "${name}": ${begin - position} bytes before its data belong to no tensor`);
    previous = name;
    position = end;
  }
  if (position < dataBytes)
    throw corrupt(path, `${dataBytes - position} bytes at the end belong to no tensor`);
}

function checkChecksums(
  path: string,
  text: string,
  tensors: ReadonlyMap<string, TensorEntry>,
): Map<string, string> {
  let json: unknown;
  try {
    json = parseJson(text);
  } catch {
    json = undefined;
  }
  if (!isJsonObject(json)) throw corrupt(path, `${CHECKSUMS_KEY} in __metadata__ is not a JSON object`);
  const checksums = new Map(Object.entries(json as Record<string, string>));
  for (const name of tensors.keys()) {
    if (!checksums.has(name))
      throw corrupt(path, `tensor "${name}": the file has checksums, but none for this tensor`);
  }
  for (const name of checksums.keys()) {
    if (!tensors.has(name))
      throw corrupt(path, `tensor "${name}": the file has a checksum for this tensor, but no data`);
  }
  return checksums;
}
