import { embedding } from '../tensor/ops/layers/embedding';
import type { Tensor } from '../tensor/tensor';
import type { ActivationDType } from '../tensor/types';

/**
 * Copies rows by index, as an embedding looks them up.
 * @param index int32 [count]
 * @param x [rows, width], float32 or bfloat16; or int32 [rows]
 * @returns [count, width]; or int32 [count]
 */
export function takeRows(index: Tensor, x: Tensor): Tensor {
  if (x.dtype !== 'int32') return embedding(index, x, x.dtype as ActivationDType);
  // An embedding copies the bits of float32, whatever they mean.
  const bits = embedding(index, x.view(0, [x.size, 1], 'float32'));
  return bits.view(0, [index.size], 'int32');
}
