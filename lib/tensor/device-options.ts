import { boolean, checker, checkOptions, integer, object, oneOf, type Checker, type Schema } from '../check';

/** `auto` is a GPU if one can be used and the CPU otherwise; `cuda:1` is the second GPU. */
export type DeviceName = 'auto' | 'cpu' | 'cuda' | `cuda:${number}` | 'cuda-emulated';

/** Options of {@link openDevice}. Options of another kind of device than the named one are refused. */
export interface DeviceOptions {
  /** CPU: number of threads; default: the processors available to this process. */
  threads?: number;
  /**
   * CPU: instruction-set level; default: the best that this processor supports. Levels with `vnni` or `dotprod` add instructions for
   * int8, `avx512bf16` adds instructions for int8 and bfloat16.
   */
  isa?: 'baseline' | 'avx2' | 'avx2vnni' | 'avx512' | 'avx512vnni' | 'avx512bf16' | 'dotprod';
  /**
   * Bytes of the device's memory that tensors and the scratch of operations may take, cached blocks included; at most the memory of
   * the GPU, machine or cgroup. An operation that needs more throws OUT_OF_MEMORY, and the device stays usable. Default: all memory of
   * a GPU; on the CPU 15/16 of the memory that is free when the device is opened, so that the error comes before the system ends the
   * process. The default does not account for memory that other programs, other devices and JavaScript itself take later.
   */
  memoryLimit?: number;
  /** `cuda-emulated`: how the emulator runs kernels. */
  emulator?: EmulatorOptions;
  /**
   * Whether memory holds NaN, and -1 in integers, until an operation has written it, even if it was in use before. Tests use this to
   * find reads of memory that nothing has written. Default false.
   */
  poison?: boolean;
}

/** How the emulated GPU runs kernels, for tests of kernels: none of these options may change a result. */
export interface EmulatorOptions {
  /** Whether every access of a kernel is checked for races; slow. Default false. */
  checked?: boolean;
  /** Which of the threads that are ready runs next. Default `in-order`. */
  schedule?: 'in-order' | 'reverse' | 'random' | 'starve';
  /** When asynchronous copies take effect: when issued, when waited for, or at a random time between. Default `late`. */
  asyncCopies?: 'early' | 'late' | 'random';
  /** Seed of everything random. Default 1. */
  seed?: number;
  /** Blocks that run at the same time. Default 1. */
  residentBlocks?: number;
  /** Bytes of memory of the device. Default 2 GiB. */
  memory?: number;
  /** Whether there is a stand-in for cuBLAS. Default false. */
  cublas?: boolean;
  /** Which piece of work a stream refuses, counted from 1; 0, the default, for none. */
  refused?: number;
  /** The version of CUDA that the driver supports, as 13000 for 13.0; 0 for no driver. Default 13000. */
  driver?: number;
  /** How many devices the driver reports. Default 1. */
  devices?: 0 | 1;
  /** Compute capability: 90, the default, for 9.0. */
  computeCapability?: number;
}

export const deviceName: Checker<DeviceName> = checker(
  'one of auto, cpu, cuda, cuda:N, cuda-emulated',
  (value) => typeof value === 'string' && /^(auto|cpu|cuda(:\d{1,9})?|cuda-emulated)$/.test(value),
);

const CPU_OPTIONS: Schema<Omit<DeviceOptions, 'emulator' | 'memoryLimit' | 'poison'>> = {
  threads: integer(1, 1024),
  isa: oneOf('baseline', 'avx2', 'avx2vnni', 'avx512', 'avx512vnni', 'avx512bf16', 'dotprod'),
};

const EMULATOR_OPTIONS: Schema<EmulatorOptions> = {
  checked: boolean,
  schedule: oneOf('in-order', 'reverse', 'random', 'starve'),
  asyncCopies: oneOf('early', 'late', 'random'),
  seed: integer(0),
  residentBlocks: integer(1, 64),
  memory: integer(1),
  cublas: boolean,
  refused: integer(0),
  driver: integer(0, 1e6),
  devices: oneOf(0, 1),
  computeCapability: integer(10, 200),
};

/**
 * Checks the options of a device.
 * @param name must have been checked
 * @throws INVALID_ARGUMENT naming an option that the named device does not have, or whose value is not allowed
 */
export function checkDeviceOptions(name: DeviceName, options: DeviceOptions): DeviceOptions {
  // `auto` may choose the CPU.
  const hasCpu = name === 'cpu' || name === 'auto';
  const emulator = { emulator: object(EMULATOR_OPTIONS) };
  const own = hasCpu ? CPU_OPTIONS : name === 'cuda-emulated' ? emulator : {};
  const schema = { ...own, memoryLimit: integer(1), poison: boolean } as Schema<DeviceOptions>;
  return checkOptions<DeviceOptions>('openDevice', options, schema, `openDevice: ${name}`);
}

/** Formats the options as the emulator parses them. */
export function emulatorText({ checked: _, ...options }: EmulatorOptions): string {
  return Object.entries(options)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${typeof value === 'boolean' ? Number(value) : value}`)
    .join(' ');
}
