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
 */
export function clipCoefficient(
  squares: Tensor,
  maxNorm: number,
): {
  /** float32 [1]: the global norm before clipping. */
  norm: Tensor;
  /** float32 [1]: maxNorm / (norm + 1e-6), but at most 1. */
  coefficient: Tensor;
} {
  const [norm, coefficient] = native.clipCoefficient(squares.handle, maxNorm);
  return { norm: new Tensor(squares.device, norm), coefficient: new Tensor(squares.device, coefficient) };
}

/** The numbers of one {@link adamw} step; none has a default. */
export interface AdamwOptions {
  /** Learning rate, at least 0. */
  lr: number;
  /** Decay of the running mean of the gradient, at least 0 and below 1. */
  beta1: number;
  /** The same of its square. */
  beta2: number;
  /** Added to the root of the mean square that the update is divided by. */
  eps: number;
  /** Decoupled from the gradient: every step takes lr · weightDecay of the parameter away. */
  weightDecay: number;
  /** Counts from 1, for the bias corrections. */
  step: number;
}

/**
 * One AdamW step in place (Loshchilov & Hutter 2019).
 * @param m running mean of the gradient; v of its square; both zeros at first
 * @param gradScale [1]: multiplies the gradient
 * @param rounded bfloat16, of the shape of `param`: becomes the new parameter, rounded to nearest even
 */
export function adamw(
  param: Tensor,
  grad: Tensor,
  m: Tensor,
  v: Tensor,
  gradScale: Tensor | undefined,
  options: AdamwOptions,
  rounded?: Tensor,
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
    rounded?.handle,
  );
}
