import { ForetokenError } from '../../errors';
import {
  bytesOf,
  corrupt,
  DEFAULT_ALIGNMENT,
  elements,
  MAGIC,
  OTHER_TENSOR_TYPES,
  TENSOR_TYPES,
  VALUE_TYPES,
  VERSION,
  type GgufTensor,
  type GgufValue,
  type NumberArray,
  type TensorType,
  type ValueType,
} from './format';

/** Everything in front of the tensors' bytes. */
export interface Header {
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
  /** Where the tensors' bytes begin in the file. */
  readonly dataStart: number;
}

/** More entries than this, of metadata or tensors, are not a model. They would fill JavaScript's memory before anything is checked. */
const MAX_ENTRIES = 2 ** 16;
/** Most dimensions of a tensor in this format. */
const MAX_DIMENSIONS = 4;

/** Thrown when the bytes end before the header does. */
export class HeaderIsLonger extends Error {}

/**
 * Parses and checks a header.
 *
 * @param bytes the beginning of the file
 * @param fileBytes size of the whole file
 * @throws HeaderIsLonger if `bytes` does not hold all of the header; CORRUPT_FILE naming the file and the entry or tensor; UNSUPPORTED
 * for a type of tensor that is not read
 */
export function parseHeader(path: string, bytes: Uint8Array, fileBytes: number): Header {
  const reader = new Reader(path, bytes);
  if (bytes.length < MAGIC.length || reader.ascii(MAGIC.length) !== MAGIC) {
    throw corrupt(path, `not a GGUF file: it does not begin with "${MAGIC}"`);
  }
  const version = reader.uint32();
  if (version !== 2 && version !== VERSION) {
    const bigEndian = (version & 0xffff) === 0 ? '; a file for big-endian machines has to be converted' : '';
    throw new ForetokenError('UNSUPPORTED', `${path}: GGUF version ${version} is not 2 or 3${bigEndian}`);
  }
  const tensorCount = reader.count('tensors');
  const entryCount = reader.count('metadata entries');
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < entryCount; i++) {
    const key = reader.string('a metadata key');
    if (metadata.has(key)) throw corrupt(path, `metadata "${key}": the key occurs twice`);
    metadata.set(key, reader.value(key));
  }
  const listed = Array.from({ length: tensorCount }, () => readTensor(path, reader));
  const alignment = checkAlignment(path, metadata);
  const dataStart = Math.ceil(reader.position / alignment) * alignment;
  const tensors = checkLayout(path, listed, alignment, fileBytes - dataStart);
  return { metadata, tensors, dataStart };
}

type Listed = readonly [name: string, tensor: GgufTensor];

function readTensor(path: string, reader: Reader): Listed {
  const name = reader.string('the name of a tensor');
  const fail = (problem: string) => corrupt(path, `tensor "${name}": ${problem}`);
  const dimensions = reader.uint32();
  if (dimensions > MAX_DIMENSIONS) throw fail(`it has ${dimensions} dimensions, but the format allows 4`);
  const shape = Array.from({ length: dimensions }, () => reader.uint64()).reverse();
  const number = reader.uint32();
  const type = (Object.keys(TENSOR_TYPES) as TensorType[]).find((key) => TENSOR_TYPES[key].number === number);
  if (!type) {
    const given = OTHER_TENSOR_TYPES[number] ?? `number ${number}`;
    const problem = `type ${given} is not read, only ${Object.keys(TENSOR_TYPES).join(', ')}`;
    throw new ForetokenError('UNSUPPORTED', `${path}: tensor "${name}": ${problem}`);
  }
  const begin = reader.uint64();
  const count = elements(shape);
  if (!Number.isSafeInteger(count)) throw fail(`its shape [${shape.join(', ')}] is too large`);
  const { size } = TENSOR_TYPES[type];
  if ((shape.at(-1) ?? 1) % size !== 0) {
    throw fail(`rows of ${shape.at(-1)} numbers do not divide into blocks of ${size}, as ${type} needs`);
  }
  return [name, { type, shape, begin, end: begin + bytesOf(type, count) }];
}

function checkAlignment(path: string, metadata: ReadonlyMap<string, GgufValue>): number {
  const alignment = metadata.get('general.alignment') ?? DEFAULT_ALIGNMENT;
  if (typeof alignment !== 'number' || alignment < 1 || alignment > 2 ** 20 || alignment & (alignment - 1)) {
    throw corrupt(path, `general.alignment must be a power of two, but is ${String(alignment)}`);
  }
  return alignment;
}

/** Checks that the tensors' bytes are aligned, lie in the file and do not overlap. */
function checkLayout(
  path: string,
  listed: readonly Listed[],
  alignment: number,
  dataBytes: number,
): Map<string, GgufTensor> {
  let previous: Listed | undefined;
  for (const entry of [...listed].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end)) {
    const [name, { begin, end }] = entry;
    const fail = (problem: string) => corrupt(path, `tensor "${name}": ${problem}`);
    if (begin % alignment !== 0)
      throw fail(`offset ${begin} is not a multiple of the alignment, ${alignment}`);
    if (end > dataBytes) {
      const holds = `the file holds ${Math.max(dataBytes, 0)} bytes of data`;
      throw fail(`its data ends at byte ${end}, but ${holds}; is it truncated?`);
    }
    if (begin === end) continue;
    if (previous && begin < previous[1].end) throw fail(`its data overlaps that of "${previous[0]}"`);
    previous = entry;
  }
  const tensors = new Map(listed);
  if (tensors.size < listed.length) {
    const seen = new Set<string>();
    const twice = listed.find(([name]) => seen.size === seen.add(name).size)!;
    throw corrupt(path, `tensor "${twice[0]}": the name occurs twice`);
  }
  return tensors;
}

const NUMBER_ARRAYS = {
  uint8: Uint8Array,
  int8: Int8Array,
  uint16: Uint16Array,
  int16: Int16Array,
  uint32: Uint32Array,
  int32: Int32Array,
  float32: Float32Array,
  bool: Uint8Array,
  uint64: BigUint64Array,
  int64: BigInt64Array,
  float64: Float64Array,
} as const;

/** Takes values from the beginning of a file, one after another. */
class Reader {
  position = 0;
  readonly #view: DataView;
  readonly #utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

  constructor(
    private readonly path: string,
    private readonly bytes: Uint8Array,
  ) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** Returns the position of the next `count` bytes and moves behind them. */
  #next(count: number): number {
    const from = this.position;
    // Also for counts beyond any file, because nothing has been allocated yet.
    if (count > this.bytes.length - from) throw new HeaderIsLonger();
    this.position += count;
    return from;
  }

  ascii(length: number): string {
    const from = this.#next(length);
    return String.fromCharCode(...this.bytes.subarray(from, this.position));
  }

  uint32(): number {
    return this.#view.getUint32(this.#next(4), true);
  }

  /** Reads a 64-bit size; one that a number cannot hold is larger than any file. */
  uint64(): number {
    return Number(this.#view.getBigUint64(this.#next(8), true));
  }

  count(what: string): number {
    const count = this.uint64();
    if (count <= MAX_ENTRIES) return count;
    throw corrupt(this.path, `it announces ${count} ${what}, more than the ${MAX_ENTRIES} of any model`);
  }

  string(what: string): string {
    const length = this.uint64();
    const from = this.#next(length);
    try {
      return this.#utf8.decode(this.bytes.subarray(from, this.position));
    } catch {
      throw corrupt(this.path, `${what} at byte ${from} is not UTF-8`);
    }
  }

  value(key: string): GgufValue {
    const type = this.#type(key);
    return type === 'array' ? this.#array(key) : this.#scalar(key, type);
  }

  #type(key: string): ValueType {
    const number = this.uint32();
    const type = VALUE_TYPES[number];
    if (!type)
      throw corrupt(this.path, `metadata "${key}": there is no type of values with number ${number}`);
    return type;
  }

  #scalar(key: string, type: Exclude<ValueType, 'array'>): GgufValue {
    if (type === 'string') return this.string(`metadata "${key}"`);
    const value = this.#numbers(type, 1)[0]!;
    if (type === 'bool') return value !== 0;
    return typeof value === 'bigint' && Number.isSafeInteger(Number(value)) ? Number(value) : value;
  }

  #array(key: string): GgufValue {
    const type = this.#type(key);
    if (type === 'array') throw corrupt(this.path, `metadata "${key}": arrays of arrays are not supported`);
    const count = this.uint64();
    if (type !== 'string') return this.#numbers(type, count);
    // Every string takes at least the bytes of its length.
    if (count * 8 > this.bytes.length - this.position) throw new HeaderIsLonger();
    return Array.from({ length: count }, () => this.string(`metadata "${key}"`));
  }

  #numbers(type: Exclude<ValueType, 'array' | 'string'>, count: number): NumberArray {
    const Numbers = NUMBER_ARRAYS[type];
    const from = this.#next(count * Numbers.BYTES_PER_ELEMENT);
    // Copies, because the bytes need not be aligned in the file.
    return new Numbers(this.bytes.slice(from, this.position).buffer);
  }
}
