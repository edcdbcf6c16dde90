import { types } from 'node:util';
import { checker, instance, integer, oneOf, required, type Checker, type Schema } from '../check';
import type { ActivationDType, TensorHandle, WeightDType } from '../native/binding';
import { Device } from './device';
import { Tensor } from './tensor';

/** Largest number that kernels count and index with. */
export const LARGEST_INT = 2 ** 31 - 1;

/** One dimension of a tensor, as far as it can be told without the others. */
export const dimension: Checker<number> = integer(0, 2 ** 48);

export const tensor: Checker<Tensor> = checker('a tensor', (value) => Tensor.isTensor(value));
export const device: Checker<Device> = instance(Device);
export const int32Array: Checker<Int32Array> = checker('an Int32Array', types.isInt32Array);
export const activationDType: Checker<ActivationDType> = oneOf('float32', 'bfloat16');
export const weightDType: Checker<WeightDType> = oneOf('float32', 'bfloat16', 'int8');

/** Of options that are tensors and nothing else, all of which must be given. */
export function tensors<T extends Readonly<Record<keyof T, Tensor>>>(
  ...names: readonly (keyof T & string)[]
): Schema<T> {
  return Object.fromEntries(names.map((name) => [name, required(tensor)])) as unknown as Schema<T>;
}

/** The result of an operation, beside one of its arguments. The handle is made first: by then the argument is known to be a tensor. */
export function tensorOf(handle: TensorHandle, beside: Tensor): Tensor {
  return new Tensor(beside.device, handle);
}

/** The handle of a tensor; what is none goes to the native side as it is, to be refused there by the argument's name. */
export function handleOf(value: Tensor): TensorHandle;
export function handleOf(value: Tensor | null | undefined): TensorHandle | undefined;
export function handleOf(value: unknown): TensorHandle | undefined {
  if (Tensor.isTensor(value)) return value.handle;
  // A number would be taken for a handle.
  return (typeof value === 'number' ? String(value) : (value ?? undefined)) as TensorHandle | undefined;
}
