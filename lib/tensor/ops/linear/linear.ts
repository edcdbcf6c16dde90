import type { ActivationDType, DotDType } from '../../../native/binding';
import { native } from '../../../native/load';
import { record } from '../../autograd';
import { handleOf, tensorOf } from '../../checks';
import { Tensor } from '../../tensor';

/**
 * y = x Wᵀ + b.
 * @param x [..., in]
 * @param weight [out, in], any floating dtype, row-major or packed by {@link packWeight}; where that was given a type, x is brought
 * to it as well
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
 * The weight as `linear` reads it fastest; for weights that do not change.
 * @param weight [out, in], float32, bfloat16 or float16
 * @param dtype of products, if they are to be in another type than float32: weight and rows are rounded to it. `bfloat16`: to
 * nearest, and denormal numbers to 0. `int8`: every 32 inputs of an output share a scale, max |w| / 127 in bfloat16 (in float32 for
 * rows), as in the format Q8_0 of llama.cpp; groups with a number that is not finite are NaN
 * @throws UNSUPPORTED where the device does not have that ({@link Device.packs})
 */
export function packWeight(weight: Tensor, dtype?: DotDType): Tensor {
  return tensorOf(native.packWeight(handleOf(weight), dtype), weight);
}
