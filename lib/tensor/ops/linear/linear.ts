import type { Device } from '../../device';
import type { ActivationDType, DotDType } from '../../../native/binding';
import { native } from '../../../native/load';
import { record } from '../../autograd';
import { handleOf, tensorOf } from '../../checks';
import { Tensor } from '../../tensor';

/**
 * Computes x Wᵀ + b.
 * @param x [..., in]; converted to the type of a weight that {@link packWeight} packed with a dtype
 * @param weight [out, in], any floating dtype, row-major or packed by {@link packWeight}
 * @param bias [out]
 * @param dtype of the result: that of x, or float32
 * @returns [..., out]; each row depends on that row of x alone, to the bit
 */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor | null, dtype?: ActivationDType): Tensor {
  const out = tensorOf(native.linear(handleOf(x), handleOf(weight), handleOf(bias), dtype), x);
  return record(
    'linear',
    [x, weight, bias],
    out,
    [x, weight],
    (upstream, [input, w], [toX, toWeight, toBias]) => {
      const grad = upstream.dtype === input!.dtype ? upstream : upstream.cast(input!.dtype);
      toX?.add(new Tensor(grad.device, native.linearBackwardInput(grad.handle, w!.handle)));
      if (toWeight) {
        native.linearBackwardWeight(
          grad.handle,
          input!.handle,
          toWeight.buffer().handle,
          toBias?.buffer().handle,
        );
      }
    },
  );
}

/**
 * Packs a weight so that `linear` reads it fastest; for weights that do not change.
 * @param weight [out, in], float32, bfloat16 or float16
 * @param dtype type of the products, if not float32; the weight and the rows of x are rounded to it. `bfloat16` rounds to nearest, and
 * denormal numbers to 0. In `int8` every 32 inputs of an output share a scale, max |w| / 127 in bfloat16 (in float32 for rows of x), as
 * in the format Q8_0 of llama.cpp; groups with a number that is not finite are NaN
 * @throws UNSUPPORTED if the device has no products in this type ({@link Device.packs})
 */
export function packWeight(weight: Tensor, dtype?: DotDType): Tensor {
  return tensorOf(native.packWeight(handleOf(weight), dtype), weight);
}

/**
 * Makes a matrix of zeros in the form that {@link packWeight} gives with a dtype, for {@link packRows} to fill.
 * @param shape [out, in]
 * @throws UNSUPPORTED as packWeight does
 */
export function packedZeros(device: Device, shape: readonly number[], dtype: DotDType): Tensor {
  return new Tensor(device, native.packedZeros(device.handle, shape, dtype));
}

/** Rows that are packed together begin and end at multiples of this number. */
export const PACKED_ROWS = 64;

/**
 * Replaces rows of a weight that is packed with a dtype, so that a large matrix can be packed without being in memory unpacked.
 * @param packed [out, in]
 * @param firstRow a multiple of {@link PACKED_ROWS}
 * @param rows [count, in], float32, bfloat16 or float16; count is a multiple of {@link PACKED_ROWS}, except of the last rows
 * @throws SHAPE_MISMATCH if the rows do not fit; INVALID_ARGUMENT if they do not begin and end where they may, or if `packed` is not
 * packed with a dtype
 */
export function packRows(packed: Tensor, firstRow: number, rows: Tensor): void {
  native.packRows(handleOf(packed), firstRow, handleOf(rows));
}
