import { ForetokenError } from '../errors';
import type { DeviceHandle, DType, HostArray, MachineRates, MemoryStatistics } from '../native/binding';
import { native } from '../native/load';
import { Tensor } from './tensor';

/** `auto` takes a GPU when one answers and the CPU otherwise; `cuda:1` is the second GPU. */
export type DeviceName = 'auto' | 'cpu' | 'cuda' | `cuda:${number}`;

/** How {@link openDevice} opens a CPU device. */
export interface DeviceOptions {
  /** CPU: number of threads; default: the processors available to this process. */
  threads?: number;
  /** CPU: instruction-set level; default: the best this processor has. */
  isa?: 'baseline' | 'avx2' | 'avx512';
  /** CPU: bytes the device may take from the system; default: the memory of the machine or cgroup. */
  memoryLimit?: number;
}

/** One line of {@link devices}. */
export interface DeviceListing {
  /** What {@link openDevice} takes: `cpu`, `cuda:0`, …; `cuda` where no GPU can be used. */
  name: string;
  /** Whether it can be opened here. */
  available: boolean;
  /** What it is, or why it cannot be used. */
  description: string;
}

/** Lists every kind of device, and for what is not usable the reason. */
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
 * Opens a device: one ordered stream and the memory it uses.
 * @throws ForetokenError DEVICE_UNAVAILABLE with the reason, when a GPU is asked for and none can be used
 */
export function openDevice(name: DeviceName = 'auto', options: DeviceOptions = {}): Device {
  const { isa, threads, memoryLimit } = options;
  if (name === 'cpu') return new Device('cpu', native.openCpu(isa, threads, memoryLimit));
  if (name === 'auto') {
    return native.cudaInfo().devices.length > 0 ? openDevice('cuda') : openDevice('cpu', options);
  }
  const index = /^cuda(?::(\d+))?$/.exec(name);
  if (!index) {
    throw new ForetokenError(
      'INVALID_ARGUMENT',
      `openDevice: name must be auto, cpu, cuda or cuda:N, but is ${name}`,
    );
  }
  const ordinal = Number(index[1] ?? 0);
  return new Device(`cuda:${ordinal}`, native.openCuda(ordinal));
}

/** One ordered stream of work and the memory it uses. */
export class Device implements Disposable {
  #handle: DeviceHandle;

  constructor(
    /** `cpu` or `cuda:N`. */
    readonly name: string,
    handle: DeviceHandle,
  ) {
    this.#handle = handle;
  }

  /**
   * The native handle.
   * @throws ForetokenError INVALID_HANDLE once the device was closed
   */
  get handle(): DeviceHandle {
    if (this.closed) throw new ForetokenError('INVALID_HANDLE', `device ${this.name} was closed`);
    return this.#handle;
  }

  /** Whether `dispose` was called. */
  get closed(): boolean {
    return this.#handle === 0;
  }

  /** The hardware, for people. */
  get description(): string {
    return native.describeDevice(this.handle).description;
  }

  /** Uninitialised memory. */
  empty(shape: readonly number[], dtype: DType = 'float32'): Tensor {
    return new Tensor(this, native.empty(this.handle, dtype, shape));
  }

  /** float32 zeros. */
  zeros(shape: readonly number[]): Tensor {
    return this.empty(shape).fill(0);
  }

  /**
   * A tensor with a copy of `data`: Float32Array for float32, Int32Array for int32, Uint16Array (bits) for the 16-bit
   * floats. The dtype follows from the array where it can.
   */
  tensor(data: HostArray, shape: readonly number[] = [data.length], dtype: DType = dtypeOf(data)): Tensor {
    return new Tensor(this, native.fromData(this.handle, dtype, shape, data));
  }

  /** How much memory this device's tensors use, now and at most so far. */
  memory(): MemoryStatistics {
    return native.memory(this.handle);
  }

  /** Starts a new measurement of `memory().peak`. */
  resetPeak(): void {
    native.resetPeak(this.handle);
  }

  /** Gives cached memory back to the system. */
  trim(): void {
    native.trim(this.handle);
  }

  /** Resolves when all work enqueued so far has finished; rejects with what went wrong in it. */
  async synchronize(): Promise<void> {
    return native.synchronize(this.handle);
  }

  /** Measures the ceilings of this device, right now. */
  async measure(): Promise<MachineRates> {
    return native.measure(this.handle);
  }

  /** Stops the stream and frees all memory; the device's tensors become invalid. */
  dispose(): void {
    if (this.closed) return;
    const handle = this.#handle;
    this.#handle = 0;
    native.closeDevice(handle);
  }

  /** What `using` calls: {@link dispose}. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

function dtypeOf(data: HostArray): DType {
  if (data instanceof Float32Array) return 'float32';
  if (data instanceof Int32Array) return 'int32';
  throw new ForetokenError(
    'INVALID_ARGUMENT',
    'tensor: give the dtype with a Uint16Array: bfloat16 or float16',
  );
}
