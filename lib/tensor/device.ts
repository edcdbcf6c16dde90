import { types } from 'node:util';
import { check } from '../check';
import { ForetokenError } from '../errors';
import type { DeviceHandle, DType, HostArray, MachineRates, MemoryStatistics } from '../native/binding';
import { native } from '../native/load';
import {
  checkDeviceOptions,
  deviceName,
  emulatorText,
  type DeviceName,
  type DeviceOptions,
  type EmulatorOptions,
} from './device-options';
import { Tensor } from './tensor';

/** One line of {@link devices}. */
export interface DeviceListing {
  /** The name for {@link openDevice}: `cpu`, `cuda:0`, …; `cuda` if no GPU can be used. */
  name: string;
  /** Whether it can be opened here. */
  available: boolean;
  /** The hardware, or the reason why it cannot be used. */
  description: string;
}

/** Lists the devices of this machine, and the reason if no GPU can be used. */
export function devices(): DeviceListing[] {
  const cpu = native.cpuInfo();
  const cuda = native.cudaInfo();
  const levels = cpu.isaLevels.join(', ');
  return [
    {
      name: 'cpu',
      available: true,
      description: `${cpu.processor}, ${cpu.processors} processors, ${levels}`,
    },
    ...cuda.devices.map((description, index) => ({ name: `cuda:${index}`, available: true, description })),
    ...(cuda.reason ? [{ name: 'cuda', available: false, description: cuda.reason }] : []),
  ];
}

/**
 * Opens a device: one ordered stream and the memory it uses. `cuda-emulated` runs the kernels of the GPU on the CPU, thread
 * by thread, for tests; published packages do not contain it.
 * @throws ForetokenError INVALID_ARGUMENT naming the option, what was given and what is allowed; DEVICE_UNAVAILABLE with the
 * reason, if a GPU is asked for and none can be used
 * @example
 * ```ts
 * import { openDevice } from 'foretoken';
 *
 * using device = openDevice('cpu', { threads: 2 });
 * using zeros = device.zeros([2, 3]);
 * console.log(device.description, await zeros.data());
 * ```
 */
export function openDevice(name: DeviceName = 'auto', options: DeviceOptions = {}): Device {
  check('openDevice: name', name, deviceName);
  const { isa, threads, memoryLimit, emulator, poison } = checkDeviceOptions(name, options);
  const index = /^cuda(?::(\d+))?$/.exec(name);
  if (index) {
    const ordinal = Number(index[1] ?? 0);
    return new Device(`cuda:${ordinal}`, native.openCuda(ordinal, undefined, undefined, memoryLimit, poison));
  }
  if (name === 'cuda-emulated') return openEmulated(emulator ?? {}, memoryLimit, poison);
  if (name === 'auto' && native.cudaInfo().devices.length > 0)
    return openDevice('cuda', { memoryLimit, poison });
  return new Device('cpu', native.openCpu(isa, threads, memoryLimit, poison));
}

function openEmulated(options: EmulatorOptions, memoryLimit?: number, poison?: boolean): Device {
  const text = emulatorText(options);
  const library = `libforetoken_cuda_emulated${options.checked ? '_checked' : ''}.so`;
  const { reason } = native.cudaInfo(library);
  if (reason !== undefined) {
    throw new ForetokenError('DEVICE_UNAVAILABLE', `openDevice: cuda-emulated: ${reason}`);
  }
  return new Device('cuda-emulated', native.openCuda(0, library, text, memoryLimit, poison));
}

/** One ordered stream of work and the memory it uses. */
export class Device implements Disposable {
  #handle: DeviceHandle;

  constructor(
    /** `cpu`, `cuda:N` or `cuda-emulated`. */
    readonly name: string,
    handle: DeviceHandle,
  ) {
    this.#handle = handle;
  }

  /**
   * The native handle.
   * @throws ForetokenError INVALID_HANDLE after `dispose`
   */
  get handle(): DeviceHandle {
    if (this.closed) throw new ForetokenError('INVALID_HANDLE', `device ${this.name} was closed`);
    return this.#handle;
  }

  /** Whether `dispose` was called. */
  get closed(): boolean {
    return this.#handle === 0;
  }

  /** A description of the hardware, for people. */
  get description(): string {
    return native.describeDevice(this.handle).description;
  }

  /** Whether hidden states, their gradients, keys and values may have this type. */
  computesIn(dtype: DType): boolean {
    return native.describeDevice(this.handle).computesIn.some((one) => one === dtype);
  }

  /** Whether weights can be packed in this type, for products in it ({@link packWeight}). */
  packs(dtype: DType): boolean {
    return native.describeDevice(this.handle).packs.some((one) => one === dtype);
  }

  /** Makes a tensor with uninitialised contents. */
  empty(shape: readonly number[], dtype: DType = 'float32'): Tensor {
    return new Tensor(this, native.empty(this.handle, dtype, shape));
  }

  /** Makes a tensor of zeros, of a floating dtype. */
  zeros(shape: readonly number[], dtype: DType = 'float32'): Tensor {
    return this.empty(shape, dtype).fill(0);
  }

  /**
   * Makes a tensor with a copy of `data`: a Float32Array for float32, an Int32Array for int32, a Uint16Array of bits for the
   * 16-bit floats, which need `dtype`.
   */
  tensor(data: HostArray, shape: readonly number[] = [data.length], dtype: DType = dtypeOf(data)): Tensor {
    return new Tensor(this, native.fromData(this.handle, dtype, shape, data));
  }

  /** Returns how much memory this device uses, now and at its peak. */
  memory(): MemoryStatistics {
    return native.memory(this.handle);
  }

  /** Sets `memory().peak` to the memory in use now. */
  resetPeak(): void {
    native.resetPeak(this.handle);
  }

  /**
   * Returns cached memory to the system, after waiting for the enqueued work, which may still use it. Inside a capture, `trim` waits
   * for the work from before the capture, and memory of captures is not returned.
   * @throws ForetokenError INTERNAL if the device has failed; no memory is returned then
   */
  trim(): void {
    native.trim(this.handle);
  }

  /** Resolves when all work enqueued so far has finished; rejects with the first error of that work. */
  async synchronize(): Promise<void> {
    return native.synchronize(this.handle);
  }

  /** Measures the highest rates of this device. */
  async measure(): Promise<MachineRates> {
    return native.measure(this.handle);
  }

  /** Stops the stream and frees all memory. The device's tensors become invalid. */
  dispose(): void {
    if (this.closed) return;
    const handle = this.#handle;
    this.#handle = 0;
    native.closeDevice(handle);
  }

  /** Calls {@link dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Determines the type of an array without `instanceof`: every realm, as those that Jest runs tests in, has its own constructors. */
function dtypeOf(data: HostArray): DType {
  if (types.isFloat32Array(data)) return 'float32';
  if (types.isInt32Array(data)) return 'int32';
  if (types.isUint16Array(data)) {
    throw new ForetokenError('INVALID_ARGUMENT', 'tensor: a Uint16Array needs a dtype: bfloat16 or float16');
  }
  throw new ForetokenError(
    'INVALID_ARGUMENT',
    'tensor: data must be a Float32Array, an Int32Array or, with its dtype, a Uint16Array',
  );
}
