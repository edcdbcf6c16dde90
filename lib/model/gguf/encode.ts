import { VALUE_TYPES, type ValueType } from './format';

/** A growing sequence of bytes, little-endian. */
export class Bytes {
  readonly #parts: Uint8Array[] = [];
  length = 0;

  add(part: Uint8Array): this {
    this.#parts.push(part);
    this.length += part.length;
    return this;
  }

  uint32(value: number): this {
    const part = Buffer.alloc(4);
    part.writeUInt32LE(value);
    return this.add(part);
  }

  int32(value: number): this {
    return this.uint32(value >>> 0);
  }

  uint64(value: number): this {
    const part = Buffer.alloc(8);
    part.writeBigUInt64LE(BigInt(value));
    return this.add(part);
  }

  float32(value: number): this {
    const part = Buffer.alloc(4);
    part.writeFloatLE(value);
    return this.add(part);
  }

  string(text: string): this {
    const part = Buffer.from(text);
    return this.uint64(part.length).add(part);
  }

  /** Appends zeros up to a multiple of the alignment. */
  pad(alignment: number): this {
    return this.add(new Uint8Array((alignment - (this.length % alignment)) % alignment));
  }

  toBytes(): Uint8Array {
    return Buffer.concat(this.#parts);
  }
}

/** Writes the metadata entries of a file and counts them. A value that is undefined gives no entry. */
export class MetadataWriter {
  readonly bytes = new Bytes();
  count = 0;

  uint32(key: string, value: number | undefined): void {
    if (value !== undefined) this.#key(key, 'uint32').uint32(value);
  }

  float32(key: string, value: number | undefined): void {
    if (value !== undefined) this.#key(key, 'float32').float32(value);
  }

  flag(key: string, value: boolean): void {
    this.#key(key, 'bool').add(Uint8Array.of(value ? 1 : 0));
  }

  string(key: string, value: string | undefined): void {
    if (value !== undefined) this.#key(key, 'string').string(value);
  }

  strings(key: string, items: readonly string[]): void {
    const bytes = this.#array(key, 'string', items.length);
    for (const item of items) bytes.string(item);
  }

  int32s(key: string, items: readonly number[]): void {
    const bytes = this.#array(key, 'int32', items.length);
    for (const item of items) bytes.int32(item);
  }

  float32s(key: string, items: readonly number[]): void {
    const bytes = this.#array(key, 'float32', items.length);
    for (const item of items) bytes.float32(item);
  }

  flags(key: string, items: readonly boolean[]): void {
    this.#array(key, 'bool', items.length).add(Uint8Array.from(items, Number));
  }

  #key(key: string, type: ValueType): Bytes {
    this.count++;
    return this.bytes.string(key).uint32(VALUE_TYPES.indexOf(type));
  }

  #array(key: string, type: ValueType, length: number): Bytes {
    return this.#key(key, 'array').uint32(VALUE_TYPES.indexOf(type)).uint64(length);
  }
}
