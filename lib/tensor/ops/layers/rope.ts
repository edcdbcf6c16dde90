import { types } from 'node:util';
import {
  check,
  checker,
  checkInteger,
  checkOptions,
  integer,
  number,
  object,
  required,
  type Schema,
} from '../../../check';
import { native } from '../../../native/load';
import { record } from '../../autograd';
import { device as deviceChecker, handleOf, tensorOf, LARGEST_INT } from '../../checks';
import type { Device } from '../../device';
import { Tensor } from '../../tensor';

/** The angles of rotary positions. */
export interface RopeAngles {
  /**
   * By how much the angle of each pair grows from one position to the next, in radians: headDim/2 numbers from 0 on. With fewer, only the
   * first 2 · frequencies.length dimensions of a head are rotated.
   */
  frequencies: readonly number[] | Float64Array;
  /** Factor of cosines and sines (YaRN's attention factor). Default 1. */
  scale?: number;
}

const ROPE_ANGLES: Schema<RopeAngles> = {
  frequencies: required(
    checker<readonly number[] | Float64Array>(
      'one or more finite numbers',
      (value) =>
        (Array.isArray(value) || types.isFloat64Array(value)) &&
        value.length > 0 &&
        Array.from(value).every(Number.isFinite), // a copy, because every() skips holes
    ),
  ),
  scale: number(-Infinity),
};

/** The checker of {@link RopeAngles}. */
export const ropeAngles = object(ROPE_ANGLES);

/**
 * Computes the cosines and sines of rotary positions (Su et al. 2021): the angle of pair i is position · frequencies[i].
 * @returns `[maxPositions, 2 · frequencies.length]`: the cosines, then the sines
 * @throws ForetokenError INVALID_ARGUMENT; OUT_OF_MEMORY, before it computes anything
 */
export function ropeTable(device: Device, maxPositions: number, angles: RopeAngles): Tensor {
  check('ropeTable: device', device, deviceChecker);
  checkInteger('ropeTable: maxPositions', maxPositions, 0);
  const { frequencies, scale = 1 } = checkOptions('ropeTable', angles, ROPE_ANGLES);
  const half = frequencies.length;
  const tensor = device.empty([maxPositions, 2 * half]);
  const table = new Float32Array(tensor.size);
  for (let position = 0; position < maxPositions; position++) {
    const row = position * 2 * half;
    for (let i = 0; i < half; i++) {
      const angle = position * frequencies[i]!;
      table[row + i] = scale * Math.cos(angle);
      table[row + half + i] = scale * Math.sin(angle);
    }
  }
  tensor.write(table);
  return tensor;
}

/** The heads in a row of {@link rope}. */
export interface RopeHeads {
  /** Heads in a row of x. */
  heads: number;
  /** Number of heads, from the first, that are rotated; the others are copied. */
  rotatedHeads: number;
}

const ROPE_HEADS = object<RopeHeads>({
  heads: required(integer(1, LARGEST_INT)),
  rotatedHeads: required(integer(0, LARGEST_INT)),
});

/**
 * Rotates heads by the position of their row: element i of the first half of a head's rotated dimensions and element i of their second
 * half form pair i, as in Hugging Face's Llama. The rotated dimensions are the first ones, as many as the table has columns.
 * @param x [rows, heads · headDim]
 * @param positions int32 [rows]
 * @param table from {@link ropeTable}
 */
export function rope(x: Tensor, positions: Tensor, table: Tensor, rowHeads: RopeHeads): Tensor {
  const { heads, rotatedHeads } = check('rope: heads', rowHeads, ROPE_HEADS);
  const out = tensorOf(
    native.rope(handleOf(x), handleOf(positions), handleOf(table), heads, rotatedHeads, false),
    x,
  );
  return record('rope', [x], out, [positions, table], (grad, [at, angles], [toX]) => {
    const gradX = native.rope(grad.handle, at!.handle, angles!.handle, heads, rotatedHeads, true);
    toX?.add(new Tensor(grad.device, gradX));
  });
}
