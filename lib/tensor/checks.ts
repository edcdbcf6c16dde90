import { types } from 'node:util';
import { checker, instance, integer, oneOf, required, type Checker, type Schema } from '../check';
import type { ActivationDType, TensorHandle, WeightDType } from '../native/binding';
import { Device } from './device';
import { Tensor } from './tensor';

/** Largest count and index of kernels. */
export const LARGEST_INT = 2 ** 31 - 1;

/** One dimension of a tensor; whether all dimensions fit together is checked by the addon. */
export const dimension: Checker<number> = integer(0, 2 ** 48);

export const tensor: Checker<Tensor> = checker('a tensor', (value) => Tensor.isTensor(value));
export const device: Checker<Device> = instance(Device);
export const int32Array: Checker<Int32Array> = checker('an Int32Array', types.isInt32Array);
export const activationDType: Checker<ActivationDType> = oneOf('float32', 'bfloat16');
export const weightDType: Checker<WeightDType> = oneOf('float32', 'bfloat16', 'int8');

/** Makes the schema of options that are all tensors and all required. */
export function tensors<T extends Readonly<Record<keyof T, Tensor>>>(
  ...names: readonly (keyof T & string)[]
): Schema<T> {
  return Object.fromEntries(names.map((name) => [name, required(tensor)])) as unknown as Schema<T>;
}

/**
 * Wraps the result of an operation, on the device of one of its arguments. The caller runs the operation first, which checks that
 * the argument is a tensor.
 */
export function tensorOf(handle: TensorHandle, beside: Tensor): Tensor {
  return new Tensor(beside.device, handle);
}

/** Returns the handle of a tensor. The addon refuses any other value, with the name of the argument. */
export function handleOf(value: Tensor): TensorHandle;
export function handleOf(value: Tensor | null | undefined): TensorHandle | undefined;
export function handleOf(value: unknown): TensorHandle | undefined {
  if (Tensor.isTensor(value)) return value.handle;
  // A string, because the addon would take a number for a handle.
  return (typeof value === 'number' ? String(value) : (value ?? undefined)) as TensorHandle | undefined;
}
