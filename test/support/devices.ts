// The devices that tests of operations run on. `npm test` takes every instruction-set level of the CPU and the emulated GPU;
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

/** What jest's configuration chose; without a choice what `npm test` takes. */
const chosen = (globalThis as { foretokenTargets?: Target[] }).foretokenTargets;

/** The devices of this run. */
export const targets: readonly Target[] = chosen ?? [...isaLevels, 'cuda-emulated'];

/** Those of them that compute in bfloat16, too. */
export const bfloat16Targets = targets.filter((target) => target.startsWith('cuda'));

/** Whether the target runs kernels one thread at a time: for tests that choose smaller sizes there. */
export function isEmulated(target: Target): boolean {
  return target === 'cuda-emulated' || target === 'cuda-checked';
}

interface Variant {
  name: Parameters<typeof openDevice>[0];
  options: DeviceOptions;
}

/**
 * Ways to run the same work that must not change a bit of it. Memory holds no numbers before it is written; the checked
 * emulator itself reports what is read too early, and would take poison for something written.
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
      // Products run on other instructions from compute capability 9.0 on.
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

/** Opens a target as most tests want it. */
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
 * The float32 results of `fn` on a target. Expects the same bits of them with 1, 2 and 3 threads, or under different
 * schedules, and nothing left behind.
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
