import type { Device } from '../../lib/tensor/device';
import {
  sampleLogits,
  type SamplingHistory,
  type SamplingOptions,
} from '../../lib/tensor/ops/sampling/sampling';
import type { Tensor } from '../../lib/tensor/tensor';

/** Reads an int32 tensor and disposes it. */
export async function takeIndices(tensor: Tensor): Promise<number[]> {
  const data = await tensor.data();
  tensor.dispose();
  if (!(data instanceof Int32Array)) throw new Error(`a ${tensor.dtype} tensor where int32 was expected`);
  return Array.from(data);
}

/** Draws one token from each row of logits, row r for position positions[r]. */
export async function drawRows(
  device: Device,
  rows: readonly ArrayLike<number>[],
  positions: readonly number[],
  options: SamplingOptions,
  history?: SamplingHistory,
): Promise<number[]> {
  const flat = new Float32Array(rows.length * rows[0]!.length);
  rows.forEach((row, r) => flat.set(row, r * row.length));
  using logits = device.tensor(flat, [rows.length, rows[0]!.length]);
  using at = device.tensor(Int32Array.from(positions));
  return await takeIndices(sampleLogits(logits, at, options, history));
}

/** Draws many tokens from the same logits, at the positions 0 … count − 1. */
export async function drawMany(
  device: Device,
  logits: ArrayLike<number>,
  count: number,
  options: SamplingOptions,
  history?: SamplingHistory,
): Promise<number[]> {
  const positions = Array.from({ length: count }, (_, i) => i);
  return drawRows(
    device,
    positions.map(() => logits),
    positions,
    options,
    history,
  );
}

/** Σ (observed − expected)² / expected, in standard deviations above what chance gives (Wilson and Hilferty 1931). */
export function chiSquareSigmas(observed: ArrayLike<number>, expected: ArrayLike<number>): number {
  let statistic = 0;
  let freedom = -1;
  for (let i = 0; i < expected.length; i++) {
    if (expected[i] === 0) {
      if (observed[i] !== 0) return Infinity;
      continue;
    }
    statistic += (observed[i]! - expected[i]!) ** 2 / expected[i]!;
    freedom++;
  }
  if (freedom === 0) return 0;
  const spread = 2 / (9 * freedom);
  return (Math.cbrt(statistic / freedom) - (1 - spread)) / Math.sqrt(spread);
}

/** How often each of 0 … kinds − 1 occurs. */
export function tally(draws: readonly number[], kinds: number): number[] {
  const counts = new Array<number>(kinds).fill(0);
  for (const draw of draws) counts[draw]!++;
  return counts;
}
