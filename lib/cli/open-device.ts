import { checkDtype } from '../model/model';
import type { WeightDType } from '../native/binding';
import { openDevice, type Device } from '../tensor/device';
import type { DeviceName } from '../tensor/device-options';
import type { DEVICE_FLAGS, Values } from './arguments';

/** What a command computes with; to be disposed by it. */
export interface Computing extends Disposable {
  readonly device: Device;
  /** Type of its models. */
  readonly dtype: WeightDType | undefined;
}

/**
 * Opens the device that a command was told, and makes sure that it can do what it was told.
 * @param masters whether models are to be trained
 */
export function openCommandDevice(
  { device: name, threads, dtype: given }: Values<typeof DEVICE_FLAGS>,
  { masters }: { masters: boolean },
): Computing {
  const dtype = given as WeightDType | undefined;
  const device = openDevice((name ?? 'auto') as DeviceName, { threads });
  try {
    checkDtype(device, { dtype, masters });
  } catch (error) {
    device.dispose();
    throw error;
  }
  return {
    device,
    dtype,
    [Symbol.dispose]: () => device.dispose(),
  };
}
