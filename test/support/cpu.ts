import { native } from '../../lib/native/load';
import { openDevice, type Device } from '../../lib/tensor/device';
import type { DeviceOptions } from '../../lib/tensor/device-options';
import type { Tensor } from '../../lib/tensor/tensor';

export type Isa = NonNullable<DeviceOptions['isa']>;

/** The instruction-set levels of this machine, best first. */
export const allIsaLevels = native.cpuInfo().isaLevels as Isa[];

/** Those that compute in float32 in different ways: of levels that differ in instructions for words the best one. */
export const isaLevels = allIsaLevels.filter((_, i) => {
  const floats = allIsaLevels.map((level) => level.replace(/vnni|bf16/, ''));
  return floats.indexOf(floats[i]!) === i;
});

/** Runs `fn` on a CPU device of its own, whose memory holds no numbers before it is written. */
export async function onCpu<T>(options: DeviceOptions, fn: (device: Device) => Promise<T>): Promise<T> {
  const device = openDevice('cpu', { ...options, poison: true });
  try {
    return await fn(device);
  } finally {
    device.dispose();
  }
}

/** The contents of a float32 tensor, which is disposed. */
export async function take(tensor: Tensor): Promise<Float32Array> {
  const data = await tensor.data();
  tensor.dispose();
  if (!(data instanceof Float32Array)) throw new Error(`a ${tensor.dtype} tensor where float32 was expected`);
  return data;
}

/** An int32 tensor whose contents only the device knows, so that the kernel must check them. */
export function onDeviceOnly(device: Device, values: readonly number[], shape = [values.length]): Tensor {
  using known = device.tensor(Int32Array.from(values), shape);
  return device.empty(shape, 'int32').copyFrom(known);
}
