import { ForetokenError } from '../errors';
import type { BucketPiece, Parameter } from '../nn/parameters';
import { embedding } from '../tensor/ops/layers/embedding';
import { add } from '../tensor/ops/layers/elementwise';
import { PACKED_ROWS, packRows } from '../tensor/ops/linear/linear';
import type { Tensor } from '../tensor/tensor';
import type { DType } from '../tensor/types';
import type { MtpModel } from './model';
import { withGatesTogether } from './query-gates';
import type { NamedTensor, SafetensorsDType } from './safetensors';
import type { RowReader, WeightSource } from './weight-source';

// Moves tensors between files and the flat tensors in which parameters lie.

const FLOATS: Partial<Record<SafetensorsDType, DType>> = {
  F32: 'float32',
  BF16: 'bfloat16',
  F16: 'float16',
};

/** A flat tensor and the pieces in it. */
export interface FlatPieces {
  readonly flat: Tensor;
  readonly pieces: readonly BucketPiece[];
}

/** Returns what is added to the elements of a tensor on the way from a file to a model, and subtracted on the way back. */
export type Offsets = (name: string) => number;

const NO_OFFSETS: Offsets = () => 0;

/**
 * Lists all tensors of a model for writing.
 * @throws UNSUPPORTED for a model in int8
 */
export function storedTensors(
  { parameters, config }: MtpModel,
  offsetOf: Offsets = NO_OFFSETS,
): NamedTensor[] {
  if (parameters.storedDtype === 'int8') {
    const advice = 'save it in another dtype and load that in int8';
    throw new ForetokenError('UNSUPPORTED', `a model in int8 cannot be saved: ${advice}`);
  }
  const tensors = [
    ...parameters.packedAlone.flatMap((parameter) => piecesOfPacked(parameter)),
    ...parameters.buckets.flatMap((bucket) => piecesOf(bucket.value, parameters.pieces(bucket), offsetOf)),
  ];
  return withGatesTogether(tensors, config);
}

/** Lists the pieces of a flat tensor for writing. */
export function piecesOf(
  flat: Tensor,
  pieces: readonly BucketPiece[],
  offsetOf: Offsets = NO_OFFSETS,
): NamedTensor[] {
  return pieces.map(({ name, shape, offset }) => ({
    name,
    shape,
    dtype: flat.dtype === 'bfloat16' ? 'BF16' : 'F32',
    data: async () => {
      using view = flat.view(offset, shape);
      const data = (await view.data()) as Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer>;
      const added = offsetOf(name);
      return added === 0 ? data : data.map((x) => x - added);
    },
  }));
}

/** Lists the pieces of a matrix that is kept only packed, in bfloat16, for writing. */
function piecesOfPacked({ value, parts }: Parameter): NamedTensor[] {
  let before = 0;
  return parts.map(({ name, shape }) => {
    const rows = Int32Array.from({ length: shape[0]! }, (_, row) => before + row);
    before += rows.length;
    return {
      name,
      shape,
      dtype: 'BF16',
      data: async () => {
        using index = value.device.tensor(rows);
        using unpacked = embedding(index, value);
        using rounded = unpacked.cast('bfloat16');
        return (await rounded.data()) as Uint16Array<ArrayBuffer>;
      },
    };
  });
}

/**
 * Checks that the tensors of a file are exactly these pieces.
 * @param owner what has the pieces, for messages
 * @throws CORRUPT_FILE naming tensors that are missing, unexpected or of another shape or type
 */
export function checkPieces(file: WeightSource, owner: string, pieces: readonly BucketPiece[]): void {
  const fail = (problem: string): never => {
    throw new ForetokenError('CORRUPT_FILE', `${file.path}: ${problem}`);
  };
  const missing = pieces.filter(({ name }) => !file.has(name)).map(({ name }) => name);
  const needed = new Set(pieces.map(({ name }) => name));
  const surplus = file.names.filter((name) => !needed.has(name));
  const problems = [
    ...(missing.length > 0 ? [`lacks ${listed(missing)}`] : []),
    ...(surplus.length > 0 ? [`has ${listed(surplus)}, for which there is no place`] : []),
  ];
  if (problems.length > 0) fail(`it does not fit ${owner}: it ${problems.join('; it ')}`);
  for (const { name, shape } of pieces) {
    const info = file.info(name);
    if (info.shape.join() !== shape.join()) {
      const given = `its shape is [${info.shape.join(', ')}]`;
      fail(`tensor "${name}": ${given}, but ${owner} needs [${shape.join(', ')}]`);
    }
    if (!FLOATS[info.dtype])
      fail(`tensor "${name}": its dtype must be F32, BF16 or F16, but is ${info.dtype}`);
  }
}

/** Lists the first ten names. */
function listed(names: readonly string[]): string {
  const first = names.slice(0, 10).map((name) => `"${name}"`);
  const more = names.length > 10 ? ` and ${names.length - 10} more` : '';
  return `${names.length === 1 ? 'tensor' : 'tensors'} ${first.join(', ')}${more}`;
}

/**
 * Numbers that are read and converted at once, at most a megabyte: larger pieces are copied through memory fresh from the system,
 * whose page faults take ten times as long as the copying (12.5 instead of 0.7 ms for 4 million bfloat16 numbers).
 */
const PIECE = 1 << 18;
/** Pieces that are read while the device converts earlier ones. */
const PIECES_AHEAD = 8;

/**
 * Reads pieces, which must have been checked, into a flat tensor.
 * @param onPiece called with the number of elements of each piece
 * @throws CORRUPT_FILE naming a tensor whose data are damaged
 */
export async function readPieces(
  file: WeightSource,
  { flat, pieces }: FlatPieces,
  offsetOf: Offsets = NO_OFFSETS,
  onPiece?: (size: number) => void,
): Promise<void> {
  for (const { name, shape, offset } of pieces) {
    const [total, ...row] = shape as [number, ...number[]];
    const width = elements(row);
    const reader = new RowsToDevice(file, name, offsetOf(name));
    const step = Math.max(1, Math.floor(PIECE / width));
    for (let first = 0; first < total; first += step) {
      const count = Math.min(step, total - first);
      using rows = flat.view(offset + first * width, [count, ...row]);
      await reader.readInto(rows);
    }
    onPiece?.(total * width);
  }
}

/**
 * Reads a parameter that is kept only packed, a matrix, to which nothing is added, so that no more than a few of its rows are in memory unpacked.
 * @param onPiece called with the number of elements of each of its parts
 * @throws CORRUPT_FILE naming a tensor whose data are damaged
 */
export async function readPacked(
  file: WeightSource,
  { value, parts, shape }: Parameter,
  onPiece?: (size: number) => void,
): Promise<void> {
  const [total, width] = shape as [number, number];
  const step = Math.max(1, Math.floor(PIECE / width / PACKED_ROWS)) * PACKED_ROWS;
  // Of the stored type, so that numbers are converted only once.
  const stored = FLOATS[file.info(parts[0]!.name).dtype];
  const isAsStored = parts.every(({ name }) => FLOATS[file.info(name).dtype] === stored);
  using buffer = value.device.empty([Math.min(step, total), width], isAsStored ? stored : 'float32');
  let packed = 0;
  let filled = 0;
  for (const part of parts) {
    const rows = part.shape[0]!;
    const reader = new RowsToDevice(file, part.name);
    for (let done = 0; done < rows;) {
      const count = Math.min(step - filled, rows - done);
      using unpacked = buffer.view(filled * width, [count, width]);
      await reader.readInto(unpacked);
      filled += count;
      done += count;
      if (filled < step && packed + filled < total) continue;
      using full = buffer.view(0, [filled, width]);
      packRows(value, packed, full);
      packed += filled;
      filled = 0;
    }
    onPiece?.(rows * width);
  }
}

function elements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Reads the rows of a tensor, one piece after another, into tensors on a device. */
class RowsToDevice {
  readonly #reader: RowReader;
  readonly #dtype: DType;
  #pieces = 0;

  /** @param added added to every number */
  constructor(
    file: WeightSource,
    name: string,
    private readonly added = 0,
  ) {
    this.#reader = file.rows(name);
    this.#dtype = FLOATS[file.info(name).dtype]!;
  }

  /** Fills a tensor [count, …] with the next rows, converted to its dtype. */
  async readInto(rows: Tensor): Promise<void> {
    const { device, shape, dtype } = rows;
    // Pieces that the device has not taken yet are in memory twice.
    if (++this.#pieces % PIECES_AHEAD === 0) await device.synchronize();
    const data = (await this.#reader.next(shape[0]!)) as Float32Array | Uint16Array;
    using stored = device.tensor(data, shape, this.#dtype);
    using values = stored.dtype === dtype ? stored.detach() : stored.cast(dtype);
    if (this.added === 0) {
      rows.copyFrom(values);
      return;
    }
    using constant = device.zeros(shape, dtype);
    constant.fill(this.added);
    using sum = add(values, constant);
    rows.copyFrom(sum);
  }
}
