import { checkDtype } from '../model/model';
import type { WeightDType } from '../tensor/types';
import { openDevice, type Device } from '../tensor/device';
import type { DeviceName } from '../tensor/device-options';
import type { DEVICE_FLAGS, Values } from './flags';

/** The device of a command, which the command disposes. */
export interface Computing extends Disposable {
  readonly device: Device;
  /** Type of the command's models. */
  readonly dtype: WeightDType | undefined;
}

/**
 * Opens the device that the flags name, and checks that it computes in the type that they name.
 * @param masters whether models will be trained
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
