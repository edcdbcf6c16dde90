import { checkDtype } from '../model/model';
import type { ActivationDType } from '../native/binding';
import { openDevice, type Device } from '../tensor/device';
import type { DeviceName } from '../tensor/device-options';
import type { DEVICE_FLAGS, Values } from './arguments';

/** What a command computes with; to be disposed by it. */
export interface Computing extends Disposable {
  readonly device: Device;
  /** What its models compute in. */
  readonly dtype: ActivationDType | undefined;
}

/** Opens the device that a command was told, and makes sure that it can do what it was told. */
export function openCommandDevice({ device: name, threads, dtype }: Values<typeof DEVICE_FLAGS>): Computing {
  const device = openDevice((name ?? 'auto') as DeviceName, { threads });
  try {
    checkDtype(device, dtype as ActivationDType | undefined);
  } catch (error) {
    device.dispose();
    throw error;
  }
  return {
    device,
    dtype: dtype as ActivationDType | undefined,
    [Symbol.dispose]: () => device.dispose(),
  };
}
