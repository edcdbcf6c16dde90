import { check, object, type Schema } from '../../../check';
import { native } from '../../../native/load';
import { tensorOf, tensors } from '../../checks';
import type { RecurrentStates } from '../../recurrent-states';
import type { Tensor } from '../../tensor';
import { treeHandles, type TreeRows } from '../attention/kv-cache';
import { statesHandle } from './short-convolution';

/** The rows of a recurrent layer as the delta rule takes them, and the parameters of its gates. */
export interface DeltaInputs {
  /** `[rows, channels]`, after the convolution: all query heads, all key heads, all value heads. */
  qkv: Tensor;
  /** `[rows, valueHeads]`: how much a row forgets, before softplus. */
  a: Tensor;
  /** `[rows, valueHeads]`: how much of its value a row writes, before the sigmoid. */
  b: Tensor;
  /** float32 `[valueHeads]`: logarithms of the rates of decay; `A_log` in checkpoints. */
  decay: Tensor;
  /** float32 `[valueHeads]`: added to `a`; `dt_bias` in checkpoints. */
  bias: Tensor;
}

export const DELTA_INPUTS: Schema<DeltaInputs> = tensors('qkv', 'a', 'b', 'decay', 'bias');

const INPUTS = object(DELTA_INPUTS);

/**
 * The gated delta rule (Yang et al., 2024, arXiv:2412.06464) for the nodes of draft trees. For each value head:
 *
 *     q, k ← x · rsqrt(Σx² + 1e-6);  g = exp(−exp(decay) · softplus(a + bias));  β = sigmoid(b)
 *     S ← g · S;  δ = β · (v − Sᵀk);  S ← S + k δᵀ;  out = Sᵀq / √keyDim
 *
 * where S begins as that of the row's parent, or as the state. The result of a row has the same bits as in plain decoding, whatever the
 * other rows are. Changes nothing in the states; {@link commitRecurrent} does.
 * @param states states that every sequence with rows has reserved
 * @param tree rows, at most 256 of a sequence; of `lengths` only the number matters
 * @returns [rows, valueHeads · valueDim]; zeros for padding
 * @throws ForetokenError INDEX_OUT_OF_RANGE for a malformed tree or a sequence without a state, by the next readback if only the device
 * knows the tree
 */
export function gatedDelta(
  states: RecurrentStates,
  layer: number,
  inputs: DeltaInputs,
  tree: TreeRows,
): Tensor {
  const handle = statesHandle('gatedDelta', states);
  const { qkv, a, b, decay, bias } = check('gatedDelta: inputs', inputs, INPUTS);
  const out = native.gatedDelta(
    ...([handle, layer, qkv.handle, a.handle, b.handle, decay.handle, bias.handle] as const),
    ...treeHandles('gatedDelta', tree),
  );
  return tensorOf(out, qkv);
}
