import { native } from '../../native/load';
import { Tensor } from '../tensor';

/** Σ x², float32 [1], summed in float64. */
export function sumSquares(x: Tensor): Tensor {
  return new Tensor(x.device, native.sumSquares(x.handle));
}

/**
 * What to multiply gradients with so that their global norm is at most `maxNorm`.
 * @param squares [buckets]: sums of squares of all gradients
 * @param maxNorm 0 switches clipping off
 * @returns `norm` before clipping and `coefficient` ≤ 1, both [1]
 */
export function clipCoefficient(squares: Tensor, maxNorm: number): { norm: Tensor; coefficient: Tensor } {
  const [norm, coefficient] = native.clipCoefficient(squares.handle, maxNorm);
  return { norm: new Tensor(squares.device, norm), coefficient: new Tensor(squares.device, coefficient) };
}

export interface AdamwOptions {
  lr: number;
  beta1: number;
  beta2: number;
  eps: number;
  weightDecay: number;
  /** Counts from 1, for the bias corrections. */
  step: number;
}

/**
 * One AdamW step in place (Loshchilov & Hutter 2019).
 * @param m running mean of the gradient; v of its square; both zeros at first
 * @param gradScale [1]: multiplies the gradient
 */
export function adamw(
  param: Tensor,
  grad: Tensor,
  m: Tensor,
  v: Tensor,
  gradScale: Tensor | undefined,
  options: AdamwOptions,
): void {
  const { lr, beta1, beta2, eps, weightDecay, step } = options;
  native.adamw(
    param.handle,
    grad.handle,
    m.handle,
    v.handle,
    gradScale?.handle,
    lr,
    beta1,
    beta2,
    eps,
    weightDecay,
    step,
  );
}
