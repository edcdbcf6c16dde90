// Runs random programs (test/support/memory-programs.ts) with too little memory and with calls that fail, on every device.
import fc from 'fast-check';
import { openDevice, type Device } from '../../lib/tensor/device';
import { isEmulated, targets, type Target } from '../support/devices';
import { programs, runProgram } from '../support/memory-programs';

/** `bytes` limits the GPU's own memory if `ofDevice`, else the memory that the device may use. `refused` counts from 1. */
interface Straits {
  bytes: number;
  ofDevice: boolean;
  refused: number | null;
}

const straits: fc.Arbitrary<Straits> = fc.record({
  bytes: fc.integer({ min: 3000, max: 80_000 }),
  ofDevice: fc.boolean(),
  // The first two calls open the device.
  refused: fc.option(fc.integer({ min: 3, max: 120 })),
});

function open(target: Target, { bytes, ofDevice, refused }: Straits): Device {
  if (target === 'cuda') return openDevice('cuda', { memoryLimit: bytes });
  if (!isEmulated(target)) return openDevice('cpu', { threads: 2, memoryLimit: bytes });
  // The device needs a little memory for itself.
  const memory = ofDevice ? bytes + 8192 : undefined;
  const emulator = { checked: target === 'cuda-checked', memory, refused: refused ?? 0 };
  return openDevice('cuda-emulated', { memoryLimit: ofDevice ? undefined : bytes, emulator });
}

/** One level of the CPU, one of this run's GPUs, and in every run the emulator that checks accesses. */
const kinds = new Set<Target>([...targets.slice(0, 1), ...targets.slice(-1), 'cuda-checked']);

test.each([...kinds])('on %s', async (target) => {
  const codes = new Set<string>();
  await fc.assert(
    fc.asyncProperty(programs(60), straits, async (steps, how) => {
      using device = open(target, how);
      for (const { code } of await runProgram(device, steps)) codes.add(code);
    }),
    { numRuns: targets.includes('cuda-checked') ? 400 : 60, seed: 5 },
  );
  expect([...codes].sort()).toEqual(isEmulated(target) ? ['INTERNAL', 'OUT_OF_MEMORY'] : ['OUT_OF_MEMORY']);
});
