import { check, checker, type Checker } from '../../../check';
import type { RecurrentStatesHandle } from '../../../native/binding';
import { native } from '../../../native/load';
import { handleOf, tensorOf } from '../../checks';
import { RecurrentStates } from '../../recurrent-states';
import type { Tensor } from '../../tensor';
import { treeHandles, type TreeRows } from '../attention/kv-cache';

const STATES: Checker<RecurrentStates> = checker('RecurrentStates', (value) =>
  RecurrentStates.isRecurrentStates(value),
);

/** Checks the states of a function and returns their handle. */
export function statesHandle(where: string, states: RecurrentStates): RecurrentStatesHandle {
  return check(`${where}: states`, states, STATES).handle;
}

/**
 * The convolution of a recurrent layer: silu(Σ_j weight[:, j] · input at taps − 1 − j positions before), along each row's own path:
 * itself, its parent, …, then the last inputs in the state. The result of a row has the same bits as in plain decoding, whatever the
 * other rows are. Changes nothing in the states.
 * @param states states that every sequence with rows has reserved
 * @param x [rows, channels], of queries, keys and values
 * @param weight [channels, taps], float32
 * @param tree rows, at most 256 of a sequence; of `lengths` only the number matters
 * @returns [rows, channels]; zeros for padding
 * @throws ForetokenError INDEX_OUT_OF_RANGE for a malformed tree or a sequence without a state, by the next readback if only the device
 * knows the tree
 */
export function shortConvolution(
  states: RecurrentStates,
  layer: number,
  x: Tensor,
  weight: Tensor,
  tree: TreeRows,
): Tensor {
  const handle = statesHandle('shortConvolution', states);
  const trees = treeHandles('shortConvolution', tree);
  return tensorOf(native.shortConvolution(handle, layer, handleOf(x), handleOf(weight), ...trees), x);
}
