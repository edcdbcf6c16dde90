import { boolean, checker, checkOptions, integer, object, oneOf, type Checker, type Schema } from '../check';

/** `auto` takes a GPU when one answers and the CPU otherwise; `cuda:1` is the second GPU. */
export type DeviceName = 'auto' | 'cpu' | 'cuda' | `cuda:${number}` | 'cuda-emulated';

/** How {@link openDevice} opens a device. What belongs to another kind of device than the one that is named is refused. */
export interface DeviceOptions {
  /** CPU: number of threads; default: the processors available to this process. */
  threads?: number;
  /**
   * CPU: instruction-set level; default: the best this processor has. Those with `vnni` and `dotprod` have instructions for int8
   * beside what the others have, `avx512bf16` for int8 and bfloat16.
   */
  isa?: 'baseline' | 'avx2' | 'avx2vnni' | 'avx512' | 'avx512vnni' | 'avx512bf16' | 'dotprod';
  /**
   * Bytes that tensors and what operations need beside them may take of the device's memory, cached ones included; at most the memory
   * of the GPU, machine or cgroup. Beyond that is an error, OUT_OF_MEMORY, after which the device works. Default: all memory of a GPU;
   * on the CPU 15/16 of what is free when the device is opened, so that the error comes before the system ends the process. What
   * other programs, other devices and JavaScript itself take later is not foreseen.
   */
  memoryLimit?: number;
  /** `cuda-emulated`: how the emulator runs kernels. */
  emulator?: EmulatorOptions;
  /**
   * Whether memory holds NaN, and -1 in integers, until an operation has written it, even where it was in use before: for tests,
   * which then see what is read too early. Default false.
   */
  poison?: boolean;
}

/** How the emulated GPU runs kernels: for tests of kernels, whose results none of this may change. */
export interface EmulatorOptions {
  /** Whether every access of a kernel is checked for races; slow. Default false. */
  checked?: boolean;
  /** Which of the threads that can run does. Default `in-order`. */
  schedule?: 'in-order' | 'reverse' | 'random' | 'starve';
  /** When asynchronous copies take effect: where they are issued, where they are waited for, or between. Default `late`. */
  asyncCopies?: 'early' | 'late' | 'random';
  /** Of what is random. Default 1. */
  seed?: number;
  /** Blocks that run at the same time. Default 1. */
  residentBlocks?: number;
  /** Bytes of the device. Default 2 GiB. */
  memory?: number;
  /** Whether there is a cuBLAS: a stand-in for it. Default false. */
  cublas?: boolean;
  /** Which piece of work a stream does not take, counted from 1; 0 for none, the default. */
  refused?: number;
  /** The version of CUDA that the driver is for, as 13000 for 13.0; 0 for no driver. Default 13000. */
  driver?: number;
  /** How many devices the driver sees. Default 1. */
  devices?: 0 | 1;
  /** 90 for 9.0, the default. */
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
 * @param name checked
 * @throws INVALID_ARGUMENT naming an option that the named device does not have, or what is not allowed of one that it has
 */
export function checkDeviceOptions(name: DeviceName, options: DeviceOptions): DeviceOptions {
  // `auto` may be the CPU.
  const hasCpu = name === 'cpu' || name === 'auto';
  const emulator = { emulator: object(EMULATOR_OPTIONS) };
  const own = hasCpu ? CPU_OPTIONS : name === 'cuda-emulated' ? emulator : {};
  const schema = { ...own, memoryLimit: integer(1), poison: boolean } as Schema<DeviceOptions>;
  return checkOptions<DeviceOptions>('openDevice', options, schema, `openDevice: ${name}`);
}

/** The options as the emulator reads them, and refuses them by name. */
export function emulatorText({ checked: _, ...options }: EmulatorOptions): string {
  return Object.entries(options)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${typeof value === 'boolean' ? Number(value) : value}`)
    .join(' ');
}
