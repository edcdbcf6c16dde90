import { native } from '../../lib/native/load';
import type { Device } from '../../lib/tensor/device';
import { scope } from '../../lib/tensor/scope';
import type { Tensor } from '../../lib/tensor/tensor';
import { expectSameBits } from './accuracy';
import { onCpu, take, type Isa } from './cpu';

/**
 * Returns the float32 results of `fn` at one instruction-set level. Expects the same bits with 1, 2 and 3 threads, and no
 * tensors or memory left behind.
 */
export async function onAllThreadCounts(
  isa: Isa,
  fn: (device: Device) => readonly Tensor[],
): Promise<Float32Array[]> {
  let first: Float32Array[] | undefined;
  for (const threads of [1, 2, 3]) {
    await onCpu({ isa, threads }, async (device) => {
      const before = native.liveTensors();
      const results = await Promise.all(scope(() => fn(device)).map(take));
      expect(native.liveTensors()).toBe(before);
      expect(device.memory().live).toBe(0);
      first ??= results;
      results.forEach((result, i) => expectSameBits(result, first![i]!));
    });
  }
  return first!;
}
