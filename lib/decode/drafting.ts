import type { MtpModel, TrunkStates } from '../model/model';
import { embedding } from '../tensor/ops/layers/embedding';
import { rows } from '../tensor/ops/layers/reshape';
import { linear } from '../tensor/ops/linear/linear';
import { topK } from '../tensor/ops/sampling/sampling';
import type { Tensor } from '../tensor/tensor';

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
export function gather(states: TrunkStates, index: Tensor, { dtype }: MtpModel): TrunkStates {
  return mapStates(states, (state) => embedding(index, state, dtype));
}

/** Makes new states, each from the state of the same name. */
export function mapStates(states: TrunkStates, make: (state: Tensor, name: string) => Tensor): TrunkStates {
  const made = Object.entries(states).map(([name, state]) => [name, make(state, name)] as const);
  return Object.fromEntries(made) as TrunkStates;
}
