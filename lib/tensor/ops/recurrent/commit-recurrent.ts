import { check, object, required, type Schema } from '../../../check';
import { native } from '../../../native/load';
import { handleOf, tensor } from '../../checks';
import type { RecurrentStates } from '../../recurrent-states';
import type { Tensor } from '../../tensor';
import { DELTA_INPUTS, type DeltaInputs } from './gated-delta';
import { statesHandle } from './short-convolution';

/** The rows of a step, as a recurrent layer computed them. */
export interface RecurrentInputs extends DeltaInputs {
  /** `[rows, channels]`: the input of {@link shortConvolution}. */
  x: Tensor;
}

const RECURRENT_INPUTS: Schema<RecurrentInputs> = { x: required(tensor), ...DELTA_INPUTS };

const INPUTS = object(RECURRENT_INPUTS);

/**
 * Applies the accepted rows to one layer of the states. Both S and the last inputs of the convolution then have the bits of plain
 * decoding; a sequence without accepted rows keeps its state.
 * @param inputs what {@link shortConvolution} and {@link gatedDelta} took for this layer
 * @param rowOffsets as in {@link TreeRows}
 * @param path int32 [sequences, stride]: accepted rows, root first, then −1
 * @param counts int32 [sequences]: number of accepted rows
 * @throws ForetokenError INDEX_OUT_OF_RANGE for rows that do not ascend within their sequence or a sequence without a state, by the next
 * readback if only the device knows them; the states are then unchanged
 */
export function commitRecurrent(
  states: RecurrentStates,
  layer: number,
  inputs: RecurrentInputs,
  rowOffsets: Tensor,
  path: Tensor,
  counts: Tensor,
): void {
  const handle = statesHandle('commitRecurrent', states);
  const { x, qkv, a, b, decay, bias } = check('commitRecurrent: inputs', inputs, INPUTS);
  native.commitRecurrent(
    ...([handle, layer, x.handle, qkv.handle, a.handle, b.handle, decay.handle, bias.handle] as const),
    ...([handleOf(rowOffsets), handleOf(path), handleOf(counts)] as const),
  );
}
