import { ForetokenError } from '../../../errors';
import { arrayOf, check, checkInteger } from '../../../check';
import { native } from '../../../native/load';
import { record } from '../../autograd';
import { dimension, handleOf, tensorOf, tensor } from '../../checks';
import { Tensor } from '../../tensor';

const SHAPE = arrayOf(dimension);

/** Gives the elements another shape, without a copy. */
export function reshape(x: Tensor, shape: readonly number[]): Tensor {
  const before = check('reshape: x', x, tensor).shape;
  check('reshape: shape', shape, SHAPE);
  if (shape.reduce((product, dim) => product * dim, 1) !== x.size) {
    const [from, to] = [before.join(', '), shape.join(', ')];
    throw new ForetokenError(
      'SHAPE_MISMATCH',
      `reshape: [${from}] and [${to}] have different numbers of elements`,
    );
  }
  const out = new Tensor(x.device, native.view(shape, x.handle, 0));
  return record('reshape', [x], out, [], (grad, _saved, [toX]) =>
    toX?.add(new Tensor(grad.device, native.view(before, grad.handle, 0))),
  );
}

/** Takes indices start … start + count - 1 of the first dimension, without a copy. */
export function rows(x: Tensor, start: number, count: number): Tensor {
  const [total, ...inner] = check('rows: x', x, tensor).shape;
  if (total === undefined)
    throw new ForetokenError('SHAPE_MISMATCH', 'rows: x is a scalar, which has no rows');
  checkInteger('rows: start', start, 0, total);
  checkInteger('rows: count', count, 0, total - start);
  const offset = start * inner.reduce((product, dim) => product * dim, 1);
  const shape = [count, ...inner];
  const out = new Tensor(x.device, native.view(shape, x.handle, offset));
  return record('rows', [x], out, [], (grad, _saved, [toX]) => {
    if (toX) native.accumulate(toX.buffer().view(offset, shape).handle, grad.handle, 1);
  });
}

/** Copies indices start … start + dim - 1 of the last dimension. */
export function sliceColumns(x: Tensor, start: number, dim: number): Tensor {
  const out = tensorOf(native.sliceColumns(handleOf(x), start, dim), x);
  const [outer, total] = [x.shape.slice(0, -1), x.shape.at(-1)!];
  return record('sliceColumns', [x], out, [], (grad, _saved, [toX]) => {
    if (!toX) return;
    const before = grad.device.zeros([...outer, start], grad.dtype);
    const after = grad.device.zeros([...outer, total - start - dim], grad.dtype);
    const left = new Tensor(grad.device, native.concat(before.handle, grad.handle));
    toX.add(new Tensor(grad.device, native.concat(left.handle, after.handle)));
  });
}
