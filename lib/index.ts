export { ForetokenError, type ErrorCode } from './errors';
export type { DType, HostArray, MachineRates, MemoryStatistics } from './native/binding';
export {
  Device,
  devices,
  openDevice,
  type DeviceListing,
  type DeviceName,
  type DeviceOptions,
} from './tensor/device';
export { scope } from './tensor/scope';
export { Tensor } from './tensor/tensor';
