import { native } from '../../../native/load';
import { record, type Backward } from '../../autograd';
import { handleOf, tensorOf } from '../../checks';
import { Tensor } from '../../tensor';

/** Computes a + b, elementwise; both have the same shape. */
export function add(a: Tensor, b: Tensor): Tensor {
  const out = tensorOf(native.add(handleOf(a), handleOf(b)), a);
  return record('add', [a, b], out, [], addBackward);
}

/** Adds x to `out` in place, outside the recorded graph; both have the same shape. */
export function accumulate(out: Tensor, x: Tensor): void {
  native.accumulate(handleOf(out), handleOf(x), 1);
}

/** The gradient of every operation that adds two tensors. */
export const addBackward: Backward = (grad, _saved, [toA, toB]) => {
  toA?.add(grad.detach());
  // A copy, because each target may add to its gradient in place.
  toB?.add(toA ? new Tensor(grad.device, native.scale(grad.handle, 1)) : grad.detach());
};

/** Computes factor · x. */
export function scale(x: Tensor, factor: number): Tensor {
  const out = tensorOf(native.scale(handleOf(x), factor), x);
  return record('scale', [x], out, [], (grad, _saved, [toX]) =>
    toX?.add(new Tensor(grad.device, native.scale(grad.handle, factor))),
  );
}

/** Computes x · sigmoid(x). */
export function silu(x: Tensor): Tensor {
  const out = tensorOf(native.silu(handleOf(x)), x);
  return record('silu', [x], out, [x], (grad, [input], [toX]) =>
    toX?.add(new Tensor(grad.device, native.siluBackward(grad.handle, input!.handle))),
  );
}

/** Computes x · sigmoid(gate), elementwise; both have the same shape. Records no gradient. */
export function sigmoidGate(x: Tensor, gate: Tensor): Tensor {
  return tensorOf(native.sigmoidGate(handleOf(x), handleOf(gate)), x);
}

/** Concatenates a and b along the last dimension. */
export function concat(a: Tensor, b: Tensor): Tensor {
  const out = tensorOf(native.concat(handleOf(a), handleOf(b)), a);
  const [dimA, dimB] = [a.shape.at(-1)!, b.shape.at(-1)!];
  return record('concat', [a, b], out, [], (grad, _saved, [toA, toB]) => {
    toA?.add(new Tensor(grad.device, native.sliceColumns(grad.handle, 0, dimA)));
    toB?.add(new Tensor(grad.device, native.sliceColumns(grad.handle, dimA, dimB)));
  });
}
