// The devices on which tests of operations run. `npm test` uses every instruction-set level of the CPU and the emulated GPU;
// `npm run test:races` the emulated GPU with its race checker, under other schedules; `npm run test:cuda` a GPU.
import { native } from '../../lib/native/load';
import { openDevice, type Device } from '../../lib/tensor/device';
import type { DeviceOptions } from '../../lib/tensor/device-options';
import { scope } from '../../lib/tensor/scope';
import type { Tensor } from '../../lib/tensor/tensor';
import { expectSameBits } from './accuracy';
import { isaLevels, take, type Isa } from './cpu';

/** A level of the CPU, or a kind of GPU. */
export type Target = Isa | 'cuda-emulated' | 'cuda-checked' | 'cuda';

/** The targets that jest's configuration chose, if it did. */
const chosen = (globalThis as { foretokenTargets?: Target[] }).foretokenTargets;

/** The devices of this run. */
export const targets: readonly Target[] = chosen ?? [...isaLevels, 'cuda-emulated'];

/** The targets that also compute in bfloat16. */
export const bfloat16Targets = targets.filter((target) => target.startsWith('cuda'));

/** Whether the target is an emulated GPU, which runs one thread at a time, so that tests choose smaller sizes. */
export function isEmulated(target: Target): boolean {
  return target === 'cuda-emulated' || target === 'cuda-checked';
}

interface Variant {
  name: Parameters<typeof openDevice>[0];
  options: DeviceOptions;
}

/**
 * Ways to run the same work that must give the same bits. Memory is poisoned, except on the checked emulator, which reports
 * reads of unwritten memory itself and would take poison for written values.
 */
function variants(target: Target): Variant[] {
  const poison = target !== 'cuda-checked';
  return kinds(target).map(({ name, options }) => ({ name, options: { ...options, poison } }));
}

function kinds(target: Target): Variant[] {
  switch (target) {
    case 'cuda':
      return [{ name: 'cuda', options: {} }];
    case 'cuda-emulated':
      return [
        {
          name: 'cuda-emulated',
          options: { emulator: { schedule: 'random', asyncCopies: 'random', seed: 1 } },
        },
      ];
    case 'cuda-checked':
      // From compute capability 9.0 on, products use other instructions, so the first variant has 8.0.
      return [
        {
          name: 'cuda-emulated',
          options: { emulator: { checked: true, residentBlocks: 2, computeCapability: 80 } },
        },
        {
          name: 'cuda-emulated',
          options: {
            emulator: {
              checked: true,
              schedule: 'random',
              asyncCopies: 'random',
              seed: 2,
              residentBlocks: 3,
            },
          },
        },
      ];
    case 'baseline':
    case 'avx2':
    case 'avx2vnni':
    case 'avx512':
    case 'avx512vnni':
    case 'avx512bf16':
    case 'dotprod':
      return [1, 2, 3].map((threads) => ({ name: 'cpu', options: { isa: target, threads } }));
  }
}

/** Opens a target in the variant that most tests use. */
export function openTarget(target: Target): Device {
  const { name, options } = variants(target).at(target.startsWith('cuda') ? 0 : 1)!;
  return openDevice(name, options);
}

/** Runs `fn` on a device of its own. */
export async function onDevice<T>(target: Target, fn: (device: Device) => Promise<T>): Promise<T> {
  const device = openTarget(target);
  try {
    return await fn(device);
  } finally {
    device.dispose();
  }
}

/** Runs `fn` with 1, 2 and 3 threads, or under different schedules, each on a device of its own. */
export async function onEachVariant(target: Target, fn: (device: Device) => Promise<void>): Promise<void> {
  for (const { name, options } of variants(target)) {
    const device = openDevice(name, options);
    try {
      await fn(device);
    } finally {
      device.dispose();
    }
  }
}

/**
 * Returns the float32 results of `fn` on a target. Expects the same bits with 1, 2 and 3 threads, or under different schedules,
 * and no tensors or memory left behind.
 */
export async function onAllVariants(
  target: Target,
  fn: (device: Device) => readonly Tensor[],
): Promise<Float32Array[]> {
  let first: Float32Array[] | undefined;
  await onEachVariant(target, async (device) => {
    const before = native.liveTensors();
    const results = await Promise.all(scope(() => fn(device)).map(take));
    expect(native.liveTensors()).toBe(before);
    expect(device.memory().live).toBe(0);
    first ??= results;
    results.forEach((result, i) => expectSameBits(result, first![i]!));
  });
  return first!;
}
