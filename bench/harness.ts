import type { Device } from '../lib/tensor/device';
import type { MachineRates, WeightDType } from '../lib/native/binding';
import type { Tensor } from '../lib/tensor/tensor';

/** The device and type of a bench, and the places of its files. */
export interface Setup {
  device: Device;
  dtype: 'float32' | 'bfloat16';
  /** A directory of source code to train on. Default: the declarations that come with TypeScript. */
  data: string | undefined;
  /** The directory for models that benches train, and for checkpoints of interrupted training. */
  models: string;
  /** The Python that runs the peers. */
  python: string;
}

/** One measured case. `fraction` is the share of the ceiling that was reached; 1 is all of it. */
export interface Result {
  /** `<bench>/<case>`. */
  name: string;
  params: Record<string, string | number>;
  unit: string;
  median: number;
  /** Half the distance between the quartiles, as a share of the median. */
  spread: number;
  /** The best possible value on this machine, measured in the same run; null without one. */
  ceiling: number | null;
  fraction: number | null;
}

export type Report = (result: Result) => void;

/** A bench: its name on the command line, and the function that runs it. */
export interface Bench {
  name: string;
  run(setup: Setup, report: Report): Promise<void>;
}

/** Seconds of each repeat. */
export type Samples = number[];

export interface Repeats {
  /** The smallest number of samples. */
  repeats?: number;
  /** The shortest duration of the measurement, in seconds. */
  seconds?: number;
  /** How often the work is enqueued for one sample, which is the mean; for work that is shorter than the wait for it. */
  calls?: number;
}

/** Measures the time from enqueueing `work` to its end on the device, after one unmeasured run. */
export async function time(device: Device, work: () => void, options: Repeats = {}): Promise<Samples> {
  return (await interleaved(device, [work], options))[0]!;
}

/** Measures several pieces of work alternately, so that disturbances affect all of them equally: for ratios. */
export async function interleaved(
  device: Device,
  works: readonly (() => void)[],
  { repeats = 9, seconds = 1, calls = 1 }: Repeats = {},
): Promise<Samples[]> {
  const samples: Samples[] = works.map(() => []);
  const once = async (work: () => void): Promise<number> => {
    const start = performance.now();
    for (let call = 0; call < calls; call++) work();
    await device.synchronize();
    return (performance.now() - start) / 1000 / calls;
  };
  for (const work of works) await once(work);
  const start = performance.now();
  while (samples[0]!.length < repeats || performance.now() - start < 1000 * seconds) {
    for (const [i, work] of works.entries()) samples[i]!.push(await once(work));
  }
  return samples;
}

function quantile(sorted: readonly number[], share: number): number {
  const at = share * (sorted.length - 1);
  const low = Math.floor(at);
  const high = Math.ceil(at);
  return sorted[low]! + (at - low) * (sorted[high]! - sorted[low]!);
}

export function median(samples: Samples): number {
  return quantile(
    samples.toSorted((a, b) => a - b),
    0.5,
  );
}

export function spread(samples: Samples): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return (quantile(sorted, 0.75) - quantile(sorted, 0.25)) / 2 / quantile(sorted, 0.5);
}

/** A rate (`amount` of `unit` per run) against the machine's ceiling. */
export function rate(
  name: string,
  params: Result['params'],
  unit: string,
  amount: number,
  samples: Samples,
  ceiling: number | null,
): Result {
  const reached = amount / median(samples);
  return {
    name,
    params,
    unit,
    median: reached,
    spread: spread(samples),
    ceiling,
    fraction: ceiling === null ? null : reached / ceiling,
  };
}

/** A time against the shortest possible time. */
export function duration(name: string, params: Result['params'], samples: Samples, floor: number): Result {
  return { ...bare(name, params, 's', samples), ceiling: floor, fraction: floor / median(samples) };
}

/** A result without a ceiling. */
export function bare(name: string, params: Result['params'], unit: string, samples: number[]): Result {
  const none = { ceiling: null, fraction: null };
  return { name, params, unit, median: median(samples), spread: spread(samples), ...none };
}

/** Measures the machine's ceilings, beside every bench because a shared machine changes. */
export async function ceilings(device: Device): Promise<MachineRates> {
  return device.measure();
}

/** The rate at which the device could multiply matrices of this type. */
export function productRate(rates: MachineRates, dtype: WeightDType): number {
  const { flopsPerSecond: float32, matmulFlopsPerSecond: bfloat16, int8FlopsPerSecond: int8 } = rates;
  return { float32, bfloat16, int8 }[dtype];
}

/** Shortest time in which the machine could do this work. */
export function floorSeconds(
  rates: MachineRates,
  dtype: WeightDType,
  work: { flops: number; bytes: number },
): number {
  return Math.max(work.flops / productRate(rates, dtype), work.bytes / rates.readBytesPerSecond);
}

/**
 * Chooses one of three sizes of a problem: for the CPU, for a GPU, or for the emulated GPU, on which a bench only shows that it
 * runs.
 */
export function sizeFor<T>({ device }: Setup, sizes: { cpu: T; gpu: T; emulated: T }): T {
  if (device.name === 'cpu') return sizes.cpu;
  return device.name === 'cuda-emulated' ? sizes.emulated : sizes.gpu;
}

export function bytesOf(dtype: WeightDType): number {
  // An int8 weight has a 2-byte scale for every 32 numbers.
  return { float32: 4, bfloat16: 2, int8: 1 + 2 / 32 }[dtype];
}

/** Numbers repeat with this period, a prime, so that no two rows of a matrix are the same. */
const PERIOD = 1048583;

/** A tensor of {@link numbers} in the type of the setup. */
export function randomTensor(
  { device, dtype }: Setup,
  shape: readonly number[],
  scale = 1,
  seed = 1,
): Tensor {
  const count = shape.reduce((product, size) => product * size, 1);
  if (dtype === 'float32') return device.tensor(numbers(count, scale, seed), shape);
  const period = numbers(Math.min(count, PERIOD), scale, seed);
  // The upper half of a float32 is its value truncated to bfloat16.
  const halves = new Uint16Array(period.buffer).filter((_, i) => i % 2 === 1);
  return device.tensor(repeated(halves, new Uint16Array(count)), shape, 'bfloat16');
}

/** Pseudorandom float32 numbers, reproducible for each seed. */
export function numbers(count: number, scale = 1, seed = 1): Float32Array {
  const values = new Float32Array(Math.min(count, PERIOD));
  let state = seed;
  for (let i = 0; i < values.length; i++) {
    state = Math.imul(state, 1664525) + 1013904223;
    values[i] = (state / 0x80000000) * scale;
  }
  return values.length === count ? values : repeated(values, new Float32Array(count));
}

/** Fills `all` with `period`, again and again. */
function repeated<T extends Float32Array | Uint16Array>(period: T, all: T): T {
  all.set(period);
  for (let filled = period.length; filled < all.length; filled *= 2) all.copyWithin(filled, 0, filled);
  return all;
}

/** int32 numbers in 0 … limit-1. */
export function indices(count: number, limit: number): Int32Array {
  return Int32Array.from(numbers(count), (x) => Math.floor(((x + 1) / 2) * limit) % limit);
}

/** Formats a number with its unit. */
export function withUnit(value: number, unit: string): string {
  if (unit === 'flop/s') return `${(value / 1e9).toFixed(1)} GFLOP/s`;
  if (unit === 'byte/s') return `${(value / 1e9).toFixed(1)} GB/s`;
  if (unit === 'byte') return `${(value / 2 ** 20).toFixed(1)} MiB`;
  if (unit === 's')
    return value < 1e-3 ? `${(value * 1e6).toPrecision(3)} µs` : `${(value * 1e3).toFixed(2)} ms`;
  if (unit === 'tokens/s') return `${value.toFixed(0)} ${unit}`;
  return `${value.toPrecision(4)} ${unit}`;
}
