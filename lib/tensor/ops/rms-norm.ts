import { native } from '../../native/load';
import { record } from '../autograd';
import { Tensor } from '../tensor';

/**
 * y = x / sqrt(mean(x²) + eps) · weight, over the last dimension (Zhang & Sennrich 2019).
 * @param x [..., dim]
 * @param weight [dim]
 */
export function rmsNorm(x: Tensor, weight: Tensor, eps: number): Tensor {
  const [y, rstdHandle] = native.rmsNorm(x.handle, weight.handle, eps);
  const out = new Tensor(x.device, y);
  using rstd = new Tensor(x.device, rstdHandle);
  return record(
    'rmsNorm',
    [x, weight],
    out,
    [x, weight, rstd],
    (grad, [input, scale, root], [toX, toWeight]) => {
      const gradWeight = toWeight?.buffer().handle;
      const gradX = native.rmsNormBackward(
        grad.handle,
        input!.handle,
        scale!.handle,
        root!.handle,
        gradWeight,
      );
      const owned = new Tensor(grad.device, gradX);
      toX?.add(owned);
    },
  );
}
