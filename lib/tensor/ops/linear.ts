import type { ActivationDType } from '../../native/binding';
import { native } from '../../native/load';
import { record } from '../autograd';
import { Tensor } from '../tensor';

/**
 * y = x Wᵀ + b.
 * @param x [..., in]
 * @param weight [out, in], any floating dtype, row-major or packed by {@link packWeight}; with one in int8, x is brought to int8
 * as well, in groups as the weight is
 * @param bias [out]
 * @param dtype of the result: that of x, or float32
 * @returns [..., out]; each row depends on that row of x alone, to the bit
 */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor | null, dtype?: ActivationDType): Tensor {
  const out = new Tensor(x.device, native.linear(x.handle, weight.handle, bias?.handle, dtype));
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
 * @param dtype what to make of it: by default nothing; int8 takes a quarter of the memory of float32, and of the time to read it.
 * Every 32 inputs of an output share a scale, max |w| / 127 in bfloat16, as in the format Q8_0 of llama.cpp; a group with a weight
 * that is not finite is NaN.
 * @throws UNSUPPORTED for int8 on a device that does not multiply with it
 */
export function packWeight(weight: Tensor, dtype?: 'int8'): Tensor {
  return new Tensor(weight.device, native.packWeight(weight.handle, dtype));
}
