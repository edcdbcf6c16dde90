import type { MtpModel } from '../model/model';
import { embedding } from '../tensor/ops/layers/embedding';
import { rows } from '../tensor/ops/layers/reshape';
import { linear } from '../tensor/ops/linear/linear';
import { topK } from '../tensor/ops/sampling/sampling';
import type { Tensor } from '../tensor/tensor';
import type { TrunkStates } from './drafter';

/** Returns the likeliest tokens for hidden states [count, hiddenSize]: int32 [count, width]. */
export function propose(model: MtpModel, hidden: Tensor, width: number): Tensor {
  const logits = linear(hidden, model.unembeddingFor(hidden), null, 'float32');
  return topK(logits, width).indices;
}

/** Returns the last row of [rows, dim] as [1, dim]. */
export function lastRow(x: Tensor): Tensor {
  return rows(x, x.shape[0]! - 1, 1);
}

/** Returns the states at these indices, as an embedding looks up rows. */
export function gather({ z, hidden }: TrunkStates, index: Tensor, { dtype }: MtpModel): TrunkStates {
  return { z: embedding(index, z, dtype), hidden: embedding(index, hidden, dtype) };
}
