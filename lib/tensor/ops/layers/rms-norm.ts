import { check, checkNumber } from '../../../check';
import { native } from '../../../native/load';
import { record, type Backward } from '../../autograd';
import { handleOf, tensor, tensorOf } from '../../checks';
import { Tensor } from '../../tensor';
import { addBackward } from './elementwise';

/**
 * Computes x / sqrt(mean(x²) + eps) · weight, over the last dimension (Zhang & Sennrich 2019).
 * @param x [..., dim]
 * @param weight [dim]
 */
export function rmsNorm(x: Tensor, weight: Tensor, eps: number): Tensor {
  const [y, rstdHandle] = native.rmsNorm(handleOf(x), handleOf(weight), eps);
  const out = new Tensor(x.device, y);
  using rstd = new Tensor(x.device, rstdHandle);
  return record('rmsNorm', [x, weight], out, [x, weight, rstd], rmsNormBackward);
}

/**
 * Computes {@link rmsNorm} of x + residual in one operation. Results and gradients are those of the two operations.
 */
export function addRmsNorm(
  x: Tensor,
  residual: Tensor,
  weight: Tensor,
  eps: number,
): {
  /** x + residual. */
  sum: Tensor;
  /** {@link rmsNorm} of the sum. */
  out: Tensor;
} {
  for (const [name, value] of [
    ['x', x],
    ['residual', residual],
    ['weight', weight],
  ] as const) {
    check(`addRmsNorm: ${name}`, value, tensor);
  }
  checkNumber('addRmsNorm: eps', eps, 0);
  const [y, rstdHandle, sumHandle] = native.rmsNorm(x.handle, weight.handle, eps, residual.handle);
  const [out, sum] = [new Tensor(x.device, y), new Tensor(x.device, sumHandle)];
  using rstd = new Tensor(x.device, rstdHandle);
  record('add', [x, residual], sum, [], addBackward);
  record('rmsNorm', [sum, weight], out, [sum, weight, rstd], rmsNormBackward);
  return { sum, out };
}

/**
 * Computes x / sqrt(mean(x²) + eps) · weight · silu(gate), where the mean is that of each head: the norm at the end of a gated delta
 * net (Yang et al. 2024). Records no gradient.
 * @param x [..., heads · dim]
 * @param gate [..., heads · dim]
 * @param weight [dim], float32
 */
export function gatedRmsNorm(x: Tensor, gate: Tensor, weight: Tensor, eps: number): Tensor {
  return tensorOf(native.gatedRmsNorm(handleOf(x), handleOf(gate), handleOf(weight), eps), x);
}

const rmsNormBackward: Backward = (grad, [x, weight, rstd], [toX, toWeight]) => {
  const gradWeight = toWeight?.buffer().handle;
  const gradX = native.rmsNormBackward(grad.handle, x!.handle, weight!.handle, rstd!.handle, gradWeight);
  const owned = new Tensor(grad.device, gradX);
  toX?.add(owned);
};
