import { checkOptions, integer, number, required, type Schema } from '../../../check';
import { native } from '../../../native/load';
import { handleOf, tensorOf, LARGEST_INT } from '../../checks';
import { Tensor } from '../../tensor';

/** Computes Σ x², float32 [1], summed in float64. */
export function sumSquares(x: Tensor): Tensor {
  return tensorOf(native.sumSquares(handleOf(x)), x);
}

/**
 * Computes the factor that limits the global norm of the gradients to `maxNorm`.
 * @param squares [buckets]: sums of squares of all gradients
 * @param maxNorm 0 switches clipping off
 */
export function clipCoefficient(
  squares: Tensor,
  maxNorm: number,
): {
  /** float32 [1]: the global norm before clipping. */
  norm: Tensor;
  /** float32 [1]: maxNorm / (norm + 1e-6), but at most 1; NaN when the norm is not finite. */
  coefficient: Tensor;
} {
  const [norm, coefficient] = native.clipCoefficient(handleOf(squares), maxNorm);
  return { norm: new Tensor(squares.device, norm), coefficient: new Tensor(squares.device, coefficient) };
}

/** Options of one {@link adamw} step; none has a default. */
export interface AdamwOptions {
  /** Learning rate, at least 0. */
  lr: number;
  /** Decay of the running mean of the gradient, at least 0 and below 1. */
  beta1: number;
  /** Decay of the running mean of its square, at least 0 and below 1. */
  beta2: number;
  /** Added to the root of the mean square, the divisor of the update. */
  eps: number;
  /** Decoupled from the gradient: every step subtracts lr · weightDecay · parameter. */
  weightDecay: number;
  /** Number of this step, from 1, for the bias corrections. */
  step: number;
}

const unit = number(0, 1);

const ADAMW_OPTIONS: Schema<AdamwOptions> = {
  lr: required(number(0)),
  beta1: required(unit),
  beta2: required(unit),
  eps: required(number(0)),
  weightDecay: required(number(0)),
  step: required(integer(1, LARGEST_INT)),
};

/**
 * Makes one AdamW step in place (Loshchilov & Hutter 2019).
 * @param m running mean of the gradient, zeros at first
 * @param v running mean of its square, zeros at first
 * @param gradScale [1]: factor of the gradient; if NaN, the step changes nothing
 * @param rounded bfloat16, of the shape of `param`: receives the new parameter, rounded to nearest even
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
  const { lr, beta1, beta2, eps, weightDecay, step } = checkOptions('adamw', options, ADAMW_OPTIONS);
  native.adamw(
    handleOf(param),
    handleOf(grad),
    handleOf(m),
    handleOf(v),
    handleOf(gradScale),
    lr,
    beta1,
    beta2,
    eps,
    weightDecay,
    step,
    handleOf(rounded),
  );
}
