import { check, oneOf, type Checker } from '../../../check';
import type { GluActivation } from '../../../native/binding';
import { native } from '../../../native/load';
import { record } from '../../autograd';
import { handleOf, tensorOf } from '../../checks';
import { Tensor } from '../../tensor';

export type { GluActivation };

/** The checker of a {@link GluActivation}. */
export const gluActivation: Checker<GluActivation> = oneOf('silu', 'gelu_tanh');

/**
 * Computes a gated linear unit, f(gate) · up (Shazeer 2020).
 * @param gateUp [..., 2 · dim]: gate and up side by side
 * @param activation f: `silu`, x · sigmoid(x), for SwiGLU; `gelu_tanh`, x · (1 + tanh(√(2/π) · (x + 0.044715 · x³))) / 2, which is
 * PyTorch's GELU with `approximate='tanh'`, for GeGLU
 * @returns [..., dim]
 */
export function glu(gateUp: Tensor, activation: GluActivation): Tensor {
  check('glu: activation', activation, gluActivation);
  const out = tensorOf(native.glu(handleOf(gateUp), activation), gateUp);
  return record('glu', [gateUp], out, [gateUp], (grad, [input], [toInput]) =>
    toInput?.add(new Tensor(grad.device, native.gluBackward(grad.handle, input!.handle, activation))),
  );
}
