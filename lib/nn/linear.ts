import { boolean, check } from '../check';
import { isRecording } from '../tensor/autograd';
import { linear } from '../tensor/ops/linear/linear';
import type { Tensor } from '../tensor/tensor';
import { checkPlace, INIT, LINEAR_PARTS, size } from './checks';
import { ParameterStore, type Init, type Parameter } from './parameters';

/** Up to this many rows, those of a decoding step, products with a packed weight are faster. */
const DECODING_ROWS = 64;

/** The outputs of a linear layer that checkpoints store under one name. */
export interface LinearPart {
  /** Name of the checkpoint's tensors between prefix and `.weight`, as in `q_proj`. */
  name: string;
  /** Number of outputs. */
  rows: number;
}

/** Computes x Wᵀ (+ b), for one or more named weights that read the same input. */
export class Linear {
  /** `[outputs, inputs]`: the weights of the parts, one below the other. */
  readonly weight: Parameter;
  /** `[outputs]`, or null without a bias. */
  readonly bias: Parameter | null;

  /**
   * @param prefix prefix of the parts' names, with its dot
   * @param parts names and sizes of the outputs, which lie side by side
   */
  constructor(
    store: ParameterStore,
    prefix: string,
    parts: readonly LinearPart[],
    inputs: number,
    init: Init,
    bias = false,
  ) {
    checkPlace('Linear', store, ParameterStore, prefix);
    check('Linear: parts', parts, LINEAR_PARTS);
    check('Linear: inputs', inputs, size);
    check('Linear: init', init, INIT);
    check('Linear: bias', bias, boolean);
    this.weight = store.create(
      parts.map(({ name, rows }) => ({ name: `${prefix}${name}.weight`, shape: [rows, inputs] })),
      init,
    );
    store.addWeight(this.weight);
    this.bias = bias
      ? store.create(
          parts.map(({ name, rows }) => ({ name: `${prefix}${name}.bias`, shape: [rows] })),
          { value: 0 },
        )
      : null;
  }

  /** x [..., inputs] → [..., sum of the parts' rows]. */
  forward(x: Tensor): Tensor {
    return linear(x, weightFor(x, this.weight), this.bias?.value);
  }
}

/** Chooses the form of `weight` for a product with x: packed in decoding steps, where weights do not change. */
export function weightFor(x: Tensor, weight: Parameter): Tensor {
  const rows = x.shape.slice(0, -1).reduce((product, dim) => product * dim, 1);
  const decoding = rows <= DECODING_ROWS && !isRecording([x, weight.operand]);
  return decoding ? weight.packed() : weight.operand;
}
