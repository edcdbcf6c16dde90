import { ForetokenError } from '../errors';
import type { BucketPiece, Parameter } from '../nn/parameters';
import { embedding } from '../tensor/ops/layers/embedding';
import { add } from '../tensor/ops/layers/elementwise';
import type { Tensor } from '../tensor/tensor';
import type { DType } from '../tensor/types';
import type { MtpModel } from './model';
import type { NamedTensor, SafetensorsDType } from './safetensors';
import type { WeightSource } from './weight-source';

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
export function storedTensors({ parameters }: MtpModel, offsetOf: Offsets = NO_OFFSETS): NamedTensor[] {
  if (parameters.storedDtype === 'int8') {
    const advice = 'save it in another dtype and load that in int8';
    throw new ForetokenError('UNSUPPORTED', `a model in int8 cannot be saved: ${advice}`);
  }
  return [
    ...parameters.packedAlone.flatMap((parameter) => piecesOfPacked(parameter)),
    ...parameters.buckets.flatMap((bucket) => piecesOf(bucket.value, parameters.pieces(bucket), offsetOf)),
  ];
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
  const { device } = flat;
  for (const { name, shape, offset } of pieces) {
    const data = (await file.read(name)) as Float32Array | Uint16Array;
    using stored = device.tensor(data, shape, FLOATS[file.info(name).dtype]);
    using values = stored.dtype === flat.dtype ? stored.detach() : stored.cast(flat.dtype);
    using view = flat.view(offset, shape);
    const added = offsetOf(name);
    if (added === 0) view.copyFrom(values);
    else {
      using constant = device.zeros(shape, flat.dtype);
      constant.fill(added);
      using sum = add(values, constant);
      view.copyFrom(sum);
    }
    onPiece?.(view.size);
  }
}
