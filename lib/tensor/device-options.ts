import { ForetokenError } from '../errors';

/** `auto` takes a GPU when one answers and the CPU otherwise; `cuda:1` is the second GPU. */
export type DeviceName = 'auto' | 'cpu' | 'cuda' | `cuda:${number}` | 'cuda-emulated';

/** How {@link openDevice} opens a device. What belongs to another kind of device than the one that is named is refused. */
export interface DeviceOptions {
  /** CPU: number of threads; default: the processors available to this process. */
  threads?: number;
  /** CPU: instruction-set level; default: the best this processor has. */
  isa?: 'baseline' | 'avx2' | 'avx512';
  /** CPU: bytes the device may take from the system; default: the memory of the machine or cgroup. */
  memoryLimit?: number;
  /** `cuda-emulated`: how the emulator runs kernels. */
  emulator?: EmulatorOptions;
}

/** How the emulated GPU runs kernels: for tests of kernels, whose results none of this may change. */
export interface EmulatorOptions {
  /** Whether every access of a kernel is checked for races; slow. Default false. */
  checked?: boolean;
  /** Which of the threads that can run does. Default `in-order`. */
  schedule?: (typeof CHOICES.schedule)[number];
  /** When asynchronous copies take effect: where they are issued, where they are waited for, or between. Default `late`. */
  asyncCopies?: (typeof CHOICES.asyncCopies)[number];
  /** Of what is random. Default 1. */
  seed?: number;
  /** Blocks that run at the same time. Default 1. */
  residentBlocks?: number;
  /** Bytes of the device. Default 2 GiB. */
  memory?: number;
  /** Whether there is a cuBLAS: a stand-in for it. Default false. */
  cublas?: boolean;
}

const CHOICES = {
  schedule: ['in-order', 'reverse', 'random', 'starve'],
  asyncCopies: ['early', 'late', 'random'],
} as const;
const COUNTS = ['seed', 'residentBlocks', 'memory'] as const;

const CPU_OPTIONS = ['threads', 'isa', 'memoryLimit'] as const;

/** @throws INVALID_ARGUMENT naming an option that the named device does not have */
export function checkDeviceOptions(name: DeviceName, options: DeviceOptions): void {
  // `auto` may be the CPU.
  const allowed =
    name === 'cpu' || name === 'auto' ? CPU_OPTIONS : name === 'cuda-emulated' ? ['emulator'] : [];
  checkNames(`openDevice: ${name}`, options, allowed);
}

/**
 * The options as the emulator reads them.
 * @throws INVALID_ARGUMENT naming the option
 */
export function emulatorText(options: EmulatorOptions): string {
  const fail = (name: string, allowed: string, given: unknown): never => {
    throw new ForetokenError(
      'INVALID_ARGUMENT',
      `openDevice: emulator.${name} must be ${allowed}, but is ${String(given)}`,
    );
  };
  const { checked, ...rest } = options;
  checkNames('openDevice: emulator', rest, [...Object.keys(CHOICES), ...COUNTS, 'cublas']);
  for (const name of ['checked', 'cublas'] as const) {
    const given = options[name];
    if (given !== undefined && typeof given !== 'boolean') fail(name, 'true or false', given);
  }
  for (const [name, values] of Object.entries(CHOICES) as ['schedule' | 'asyncCopies', readonly string[]][]) {
    const given = options[name];
    if (given !== undefined && !values.includes(given)) fail(name, `one of ${values.join(', ')}`, given);
  }
  for (const name of COUNTS) {
    const given = options[name];
    if (given !== undefined && !(Number.isSafeInteger(given) && given >= 0)) {
      fail(name, 'an integer of at least 0', given);
    }
  }
  return Object.entries(rest)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${typeof value === 'boolean' ? Number(value) : value}`)
    .join(' ');
}

function checkNames(what: string, options: object, allowed: readonly string[]): void {
  for (const [option, value] of Object.entries(options)) {
    if (value === undefined || allowed.includes(option)) continue;
    const known = allowed.length > 0 ? `there are ${allowed.join(', ')}` : 'there is none';
    throw new ForetokenError('INVALID_ARGUMENT', `${what} has no option ${option}; ${known}`);
  }
}
