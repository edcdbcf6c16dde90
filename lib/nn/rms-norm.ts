import { check, number } from '../check';
import { addRmsNorm, rmsNorm } from '../tensor/ops/layers/rms-norm';
import type { Tensor } from '../tensor/tensor';
import { checkPlace, size } from './checks';
import { ParameterStore, type Parameter } from './parameters';

/** Computes x / rms(x) · weight, over the last dimension (Zhang & Sennrich 2019). */
export class RMSNorm {
  /** `[dim]`, ones at first. */
  readonly weight: Parameter;

  constructor(
    store: ParameterStore,
    name: string,
    dim: number,
    /** Added to the mean square. */
    readonly eps: number,
  ) {
    checkPlace('RMSNorm', store, ParameterStore, name, 'name');
    check('RMSNorm: dim', dim, size);
    check('RMSNorm: eps', eps, number(0));
    this.weight = store.create([{ name: `${name}.weight`, shape: [dim] }], { value: 1 });
  }

  /** x [..., dim] → the same shape. */
  forward(x: Tensor): Tensor {
    return rmsNorm(x, this.weight.value, this.eps);
  }

  /** Normalizes x + residual, and returns the sum as well. */
  forwardSum(x: Tensor, residual: Tensor): ReturnType<typeof addRmsNorm> {
    return addRmsNorm(x, residual, this.weight.value, this.eps);
  }
}
