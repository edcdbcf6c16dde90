import type { FileHandle } from 'node:fs/promises';
import { writeFileAtomic, writeFully } from '../../files';
import { ForetokenError } from '../../errors';
import {
  ARRAYS,
  CHECKSUMS_KEY,
  CHECKSUM_LENGTH,
  LENGTH_BYTES,
  byteLength,
  finishChecksum,
  isSizes,
  startChecksum,
  type TensorData,
  type TensorInfo,
} from './format';

/** A tensor to write. If `data` is a function, it is called when the tensor is written. */
export interface NamedTensor extends TensorInfo {
  readonly name: string;
  readonly data: TensorData | (() => TensorData | Promise<TensorData>);
}

/**
 * Writes a `.safetensors` file atomically, with a checksum of each tensor. The same tensors give the same bytes, in any order.
 *
 * @param metadata strings for the file's `__metadata__`
 * @throws INVALID_ARGUMENT naming the tensor, for duplicate names or data that do not fit dtype and shape
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<NamedTensor>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const sorted = [...tensors];
  checkTensors(path, sorted, metadata);
  // Wide elements first, so that every tensor is aligned to its element; then by name.
  sorted.sort((a, b) => elementBytes(b) - elementBytes(a) || (a.name < b.name ? -1 : 1));
  const checksums = new Map(sorted.map(({ name }) => [name, '0'.repeat(CHECKSUM_LENGTH)]));
  await writeFileAtomic(path, async (handle) => {
    let position = LENGTH_BYTES + encodeHeader(sorted, metadata, checksums).length;
    for (const tensor of sorted) {
      const hash = startChecksum(tensor.name, tensor);
      const bytes = await bytesOf(path, tensor);
      await writeFully(handle, bytes, position, (piece) => hash.update(piece));
      position += bytes.length;
      checksums.set(tensor.name, finishChecksum(hash));
    }
    // Last, because the checksums are known only now. They have a fixed length, so the header's length has not changed.
    await writeHeader(handle, encodeHeader(sorted, metadata, checksums));
  });
}

function elementBytes({ dtype }: NamedTensor): number {
  return ARRAYS[dtype].BYTES_PER_ELEMENT;
}

function checkTensors(
  path: string,
  tensors: readonly NamedTensor[],
  metadata: Readonly<Record<string, string>>,
): void {
  const seen = new Set<string>();
  for (const { name, dtype, shape } of tensors) {
    if (!Object.hasOwn(ARRAYS, dtype)) throw invalid(path, name, `unknown dtype ${String(dtype)}`);
    if (!isSizes(shape)) throw invalid(path, name, `shape ${JSON.stringify(shape)} is not a list of sizes`);
    if (name === '' || name === '__metadata__') throw invalid(path, name, 'the name is not allowed');
    if (seen.has(name)) throw invalid(path, name, 'the name occurs twice');
    seen.add(name);
  }
  if (CHECKSUMS_KEY in metadata) {
    throw new ForetokenError('INVALID_ARGUMENT', `${path}: metadata key "${CHECKSUMS_KEY}" is reserved`);
  }
}

/** Makes the JSON of the header, padded with spaces so that the data begin at a multiple of 8. */
function encodeHeader(
  sorted: readonly NamedTensor[],
  metadata: Readonly<Record<string, string>>,
  checksums: ReadonlyMap<string, string>,
): Uint8Array {
  let position = 0;
  const entries = sorted.map((tensor) => {
    const begin = position;
    position += byteLength(tensor);
    return [tensor.name, { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [begin, position] }];
  });
  const ours = { [CHECKSUMS_KEY]: JSON.stringify(Object.fromEntries(checksums)) };
  const json = Buffer.from(
    JSON.stringify({ __metadata__: { ...metadata, ...ours }, ...Object.fromEntries(entries) }),
  );
  return Buffer.concat([json, Buffer.alloc(-json.length & 7, ' ')]);
}

async function writeHeader(handle: FileHandle, header: Uint8Array): Promise<void> {
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeBigUInt64LE(BigInt(header.length));
  await writeFully(handle, length, 0);
  await writeFully(handle, header, LENGTH_BYTES);
}

async function bytesOf(path: string, tensor: NamedTensor): Promise<Uint8Array> {
  const { name, dtype, shape } = tensor;
  const data = typeof tensor.data === 'function' ? await tensor.data() : tensor.data;
  const given = Object.prototype.toString.call(data).slice('[object '.length, -1);
  if (given !== ARRAYS[dtype].name)
    throw invalid(path, name, `${dtype} needs a ${ARRAYS[dtype].name}, given ${given}`);
  if (data.byteLength !== byteLength(tensor)) {
    const size = byteLength(tensor) / data.BYTES_PER_ELEMENT;
    throw invalid(path, name, `shape [${shape.join(', ')}] has ${size} elements, given ${data.length}`);
  }
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function invalid(path: string, name: string, problem: string): ForetokenError {
  return new ForetokenError('INVALID_ARGUMENT', `${path}: tensor "${name}": ${problem}`);
}
