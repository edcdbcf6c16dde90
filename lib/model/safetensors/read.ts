import { stat, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isJsonObject, openForReading, readFully, readJson } from '../../files';
import { ForetokenError } from '../../errors';
import {
  ARRAYS,
  byteLength,
  LENGTH_BYTES,
  MAX_HEADER_BYTES,
  corrupt,
  finishChecksum,
  parseHeader,
  startChecksum,
  type Header,
  type TensorData,
  type TensorInfo,
} from './format';
import type { RowReader, WeightSource } from '../weight-source';

/** An open file, or set of shards, of named tensors. Only the headers are in memory. */
export interface SafetensorsFile extends WeightSource {
  readonly metadata: Readonly<Record<string, string>>;
}

const SINGLE_NAME = 'model.safetensors';
const INDEX_NAME = 'model.safetensors.index.json';

/**
 * Opens a `.safetensors` file, a `.safetensors.index.json` of several, or a model's directory that holds either.
 * @throws FILE_ACCESS if a file cannot be read; CORRUPT_FILE, naming file and tensor, if a file is malformed
 */
export async function readSafetensors(path: string): Promise<SafetensorsFile> {
  if (await isDirectory(path)) {
    const single = await stat(join(path, SINGLE_NAME)).catch(() => undefined);
    const index = await stat(join(path, INDEX_NAME)).catch(() => undefined);
    return readSafetensors(join(path, single || !index ? SINGLE_NAME : INDEX_NAME));
  }
  return path.endsWith('.json') ? openShards(path) : openSingle(path);
}

/** Lists the index and the shards of the weights in a model's directory; none without an index. */
export async function shardFiles(directory: string): Promise<string[]> {
  const path = join(directory, INDEX_NAME);
  if (!(await stat(path).catch(() => undefined))) return [];
  return [INDEX_NAME, ...new Set(checkWeightMap(path, await readJson(path)).values())];
}

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (status) => status.isDirectory(),
    () => false,
  );
}

async function openSingle(path: string): Promise<SafetensorsFile> {
  const handle = await openForReading(path);
  try {
    const { size } = await handle.stat();
    const headerBytes = await readHeaderLength(path, handle, size);
    const header = new Uint8Array(headerBytes);
    await readFully(handle, header, LENGTH_BYTES);
    const dataStart = LENGTH_BYTES + headerBytes;
    return new SingleFile(path, handle, parseHeader(path, header, size - dataStart), dataStart);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function readHeaderLength(path: string, handle: FileHandle, size: number): Promise<number> {
  if (size < LENGTH_BYTES) throw corrupt(path, `not a safetensors file: it has ${size} bytes`);
  const bytes = new Uint8Array(LENGTH_BYTES);
  await readFully(handle, bytes, 0);
  const length = new DataView(bytes.buffer).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES)) {
    throw corrupt(path, `not a safetensors file: it announces a header of ${length} bytes`);
  }
  if (LENGTH_BYTES + Number(length) > size) {
    throw corrupt(path, `it announces a header of ${length} bytes, but has ${size} bytes; is it truncated?`);
  }
  return Number(length);
}

class SingleFile implements SafetensorsFile {
  readonly names: readonly string[];
  readonly metadata: Readonly<Record<string, string>>;
  #buffer = new Uint8Array();

  constructor(
    readonly path: string,
    private readonly handle: FileHandle,
    private readonly header: Header,
    private readonly dataStart: number,
  ) {
    this.names = [...header.tensors.keys()];
    this.metadata = header.metadata;
  }

  has(name: string): boolean {
    return this.header.tensors.has(name);
  }

  info(name: string): TensorInfo {
    const { dtype, shape } = this.#entry(name);
    return { dtype, shape };
  }

  async read(name: string): Promise<TensorData> {
    const { begin, end } = this.#entry(name);
    return this.#begin(name, (length) => new Uint8Array(length))(end - begin);
  }

  rows(name: string): RowReader {
    const entry = this.#entry(name);
    const next = this.#begin(name, (length) => this.#shared(length));
    const rowBytes = byteLength({ ...entry, shape: entry.shape.slice(1) });
    return { next: (count) => next(count * rowBytes) };
  }

  /** Returns the buffer of all readers of rows, because a buffer of each would be garbage for a while. */
  #shared(length: number): Uint8Array<ArrayBuffer> {
    if (this.#buffer.length < length) this.#buffer = new Uint8Array(length);
    return this.#buffer;
  }

  /**
   * Begins to read a tensor's bytes. Its checksum is checked when the last ones have been read.
   * @param bufferOf returns a buffer of at least this length
   */
  #begin(
    name: string,
    bufferOf: (length: number) => Uint8Array<ArrayBuffer>,
  ): (count: number) => Promise<TensorData> {
    const entry = this.#entry(name);
    const hash = this.header.checksums && startChecksum(name, entry);
    let position = entry.begin;
    return async (count) => {
      const buffer = bufferOf(count);
      const bytes = buffer.subarray(0, count);
      const got = await readFully(this.handle, bytes, this.dataStart + position, (piece) =>
        hash?.update(piece),
      );
      if (got < count)
        throw corrupt(this.path, `tensor "${name}": the file became shorter while it was open`);
      position += count;
      if (hash && position === entry.end && finishChecksum(hash) !== this.header.checksums?.get(name)) {
        throw corrupt(
          this.path,
          `tensor "${name}": its data have changed since they were written (the checksum differs)`,
        );
      }
      const Values = ARRAYS[entry.dtype];
      return new Values(buffer.buffer, 0, count / Values.BYTES_PER_ELEMENT);
    };
  }

  close(): Promise<void> {
    return this.handle.close();
  }

  #entry(name: string) {
    const entry = this.header.tensors.get(name);
    if (!entry) throw noSuchTensor(this.path, name);
    return entry;
  }
}

function noSuchTensor(path: string, name: string): ForetokenError {
  return new ForetokenError('INVALID_ARGUMENT', `${path}: it has no tensor "${name}"`);
}

/** Opens the shards that an index names, without tensors of a shard that the index does not place there. */
async function openShards(path: string): Promise<SafetensorsFile> {
  const weightMap = checkWeightMap(path, await readJson(path));
  const shards = new Map<string, SafetensorsFile>();
  const close = async () => {
    await Promise.all([...shards.values()].map((shard) => shard.close()));
  };
  try {
    for (const [name, file] of weightMap) {
      const shard = shards.get(file) ?? (await openSingle(join(dirname(path), file)));
      shards.set(file, shard);
      if (!shard.has(name))
        throw corrupt(path, `tensor "${name}": it is not in ${file}, where the index places it`);
    }
  } catch (error) {
    await close();
    throw error;
  }
  const shardOf = (name: string) => {
    const shard = shards.get(weightMap.get(name) ?? '');
    if (!shard) throw noSuchTensor(path, name);
    return shard;
  };
  return {
    path,
    names: [...weightMap.keys()],
    metadata: Object.assign({}, ...[...shards.values()].map((shard) => shard.metadata)) as Record<
      string,
      string
    >,
    has: (name) => weightMap.has(name),
    info: (name) => shardOf(name).info(name),
    read: async (name) => shardOf(name).read(name),
    rows: (name) => shardOf(name).rows(name),
    close,
  };
}

function checkWeightMap(path: string, json: unknown): Map<string, string> {
  const map = isJsonObject(json) ? json.weight_map : undefined;
  if (!isJsonObject(map)) throw corrupt(path, 'weight_map is missing');
  for (const [name, file] of Object.entries(map)) {
    // A plain name, because an index must not read files outside its own directory.
    if (typeof file !== 'string' || !/^[^/\\]+\.safetensors$/.test(file)) {
      throw corrupt(
        path,
        `tensor "${name}": ${JSON.stringify(file)} is not the name of a .safetensors file beside it`,
      );
    }
  }
  return new Map(Object.entries(map as Record<string, string>));
}
