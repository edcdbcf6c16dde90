import type { ActivationDType } from '../../../native/binding';
import { native } from '../../../native/load';
import { record } from '../../autograd';
import { handleOf, tensorOf } from '../../checks';
import type { Tensor } from '../../tensor';

/**
 * Looks up rows of `weight` by index.
 * @param tokens int32 [...], each in 0 … vocab-1
 * @param weight [vocab, dim], any floating dtype
 * @returns [..., dim], of `dtype`
 * @throws ForetokenError INDEX_OUT_OF_RANGE, by the call or, for indices that only the device knows, by the next readback
 */
export function embedding(tokens: Tensor, weight: Tensor, dtype: ActivationDType = 'float32'): Tensor {
  const out = tensorOf(native.embedding(handleOf(tokens), handleOf(weight), dtype), weight);
  return record('embedding', [weight], out, [tokens], (grad, [indices], [toWeight]) => {
    if (toWeight) native.embeddingBackward(indices!.handle, grad.handle, toWeight.buffer().handle);
  });
}
