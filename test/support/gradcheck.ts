import type { Device } from '../../lib/tensor/device';
import { scope } from '../../lib/tensor/scope';
import type { Tensor } from '../../lib/tensor/tensor';
import { Random } from './random';

/** An input of the checked function. */
export interface Input {
  data: Float32Array;
  shape: readonly number[];
}

/**
 * Expects the gradients of `backward` to be the derivatives of `fn`, by finite differences along random directions. Random
 * weights on the output keep errors from cancelling.
 */
export async function checkGradients(
  device: Device,
  inputs: readonly Input[],
  fn: (...tensors: Tensor[]) => Tensor,
): Promise<void> {
  const random = new Random(11);
  const leaves = inputs.map(({ data, shape }) => device.tensor(data, shape).requireGrad());
  using out = fn(...leaves);
  const weights = random.floats(out.size);
  using upstream = device.tensor(weights, out.shape);
  out.backward(upstream);
  const gradients = await Promise.all(leaves.map((leaf) => leaf.grad!.data()));
  for (const leaf of leaves) {
    leaf.grad!.dispose();
    leaf.dispose();
  }

  const value = async (moved: readonly Float32Array[]): Promise<number> => {
    using result = scope(() => fn(...moved.map((data, i) => device.tensor(data, inputs[i]!.shape))));
    return dot(await result.data(), weights);
  };
  for (const [i, { data }] of inputs.entries()) {
    for (let trial = 0; trial < 3; trial++) {
      const direction = random.floats(data.length);
      const slope = async (step: number): Promise<number> => {
        const moved = (sign: number): Float32Array[] =>
          inputs.map((input, j) =>
            i === j ? input.data.map((x, at) => x + sign * step * direction[at]!) : input.data,
          );
        return ((await value(moved(1))) - (await value(moved(-1)))) / (2 * step);
      };
      // Richardson's extrapolation allows steps large enough for float32 with an error of fourth order.
      const measured = (4 * (await slope(2 ** -6)) - (await slope(2 ** -5))) / 3;
      const expected = dot(gradients[i]!, direction);
      const size = Math.sqrt((dot(gradients[i]!, gradients[i]!) * dot(direction, direction)) / 3);
      expect(Math.abs(measured - expected)).toBeLessThan(1e-3 * size + 1e-12);
    }
  }
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}
