import { native } from '../../lib/native/load';
import { openDevice, type Device } from '../../lib/tensor/device';
import type { DeviceOptions } from '../../lib/tensor/device-options';
import type { Tensor } from '../../lib/tensor/tensor';

export type Isa = NonNullable<DeviceOptions['isa']>;

/** The instruction-set levels of this machine, best first. */
export const allIsaLevels = native.cpuInfo().isaLevels as Isa[];

/** The levels with different float32 code: of levels that differ only in instructions for dot formats, the best one. */
export const isaLevels = allIsaLevels.filter((_, i) => {
  const floats = allIsaLevels.map((level) => level.replace(/vnni|bf16/, ''));
  return floats.indexOf(floats[i]!) === i;
});

/** Runs `fn` on a CPU device of its own, with poisoned memory. */
export async function onCpu<T>(options: DeviceOptions, fn: (device: Device) => Promise<T>): Promise<T> {
  const device = openDevice('cpu', { ...options, poison: true });
  try {
    return await fn(device);
  } finally {
    device.dispose();
  }
}

/** Reads a float32 tensor and disposes it. */
export async function take(tensor: Tensor): Promise<Float32Array> {
  const data = await tensor.data();
  tensor.dispose();
  if (!(data instanceof Float32Array)) throw new Error(`a ${tensor.dtype} tensor where float32 was expected`);
  return data;
}

/** Makes an int32 tensor whose contents only the device knows, so that the kernel must check them. */
export function onDeviceOnly(device: Device, values: readonly number[], shape = [values.length]): Tensor {
  using known = device.tensor(Int32Array.from(values), shape);
  return device.empty(shape, 'int32').copyFrom(known);
}
