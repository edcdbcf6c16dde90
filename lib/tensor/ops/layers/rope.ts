import { check, checkInteger, checkNumber, integer, object, required } from '../../../check';
import { ForetokenError } from '../../../errors';
import { native } from '../../../native/load';
import { record } from '../../autograd';
import { device as deviceChecker, handleOf, tensorOf, LARGEST_INT } from '../../checks';
import type { Device } from '../../device';
import { Tensor } from '../../tensor';

/**
 * Computes the cosines and sines of rotary positions (Su et al. 2021): the angle of pair i is position · theta^(-2i/headDim).
 * @param headDim even
 * @returns `[maxPositions, headDim]`: headDim/2 cosines, then headDim/2 sines
 * @throws ForetokenError INVALID_ARGUMENT; OUT_OF_MEMORY, before it computes anything
 */
export function ropeTable(device: Device, maxPositions: number, headDim: number, theta: number): Tensor {
  check('ropeTable: device', device, deviceChecker);
  checkInteger('ropeTable: maxPositions', maxPositions, 0);
  checkInteger('ropeTable: headDim', headDim, 2);
  checkNumber('ropeTable: theta', theta, Number.MIN_VALUE);
  if (headDim % 2 !== 0) {
    throw new ForetokenError('INVALID_ARGUMENT', `ropeTable: headDim must be even, but is ${headDim}`);
  }
  const half = headDim / 2;
  const shape = [maxPositions, headDim];
  const tensor = device.empty(shape);
  const table = new Float32Array(tensor.size);
  for (let position = 0; position < maxPositions; position++) {
    for (let i = 0; i < half; i++) {
      const angle = position * theta ** (-i / half);
      table[position * headDim + i] = Math.cos(angle);
      table[position * headDim + half + i] = Math.sin(angle);
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
 * Rotates heads by the position of their row: element i of a head's first half and element i of its second half form
 * pair i, as in Hugging Face's Llama.
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
