// Loss, statistics and gradients against the float64 oracle, on every device, with every number of threads.
import { onEachVariant, targets } from '../../support/devices';
import { expectAccurate, randomProblem, runLoss } from '../../support/loss';
import type { LossProblem } from '../../support/loss-oracle';

/** Sizes around vector lengths, tiles and strips, odd sizes included. */
const shapes = [
  { rows: 1, dim: 1, vocab: 1 },
  { rows: 1, dim: 1, vocab: 2 },
  { rows: 3, dim: 7, vocab: 3 },
  { rows: 7, dim: 3, vocab: 31 },
  { rows: 12, dim: 16, vocab: 32 },
  { rows: 13, dim: 15, vocab: 33 },
  { rows: 31, dim: 47, vocab: 15 },
  { rows: 47, dim: 31, vocab: 257 },
  { rows: 5, dim: 257, vocab: 47 },
  { rows: 3, dim: 5, vocab: 1023 },
  { rows: 3, dim: 5, vocab: 1025 },
  { rows: 2, dim: 3, vocab: 2081 },
  { rows: 65, dim: 33, vocab: 129 },
  { rows: 3, dim: 5, vocab: 12_301 },
];

const options: Record<string, Partial<LossProblem>> = {
  plain: {},
  'label smoothing': { labelSmoothing: 0.1 },
  'all smoothing': { labelSmoothing: 1 },
  'z-loss': { zLoss: 0.02 },
  'entropy bonus': { entropyWeight: -0.3 },
  'entropy penalty': { entropyWeight: 0.7 },
  softcap: { softcap: 3 },
  all: { labelSmoothing: 0.2, zLoss: 0.01, entropyWeight: 0.4, softcap: 5 },
};

const bySize = shapes.map((shape) => ({ ...shape, problem: randomProblem(7, shape) }));
const byOption = Object.entries(options).map(
  ([name, extras]) => [name, randomProblem(8, { rows: 19, dim: 9, vocab: 67 }, extras)] as const,
);
describe.each(targets)('%s', (target) => {
  test.each(bySize)('$rows rows, dim $dim, vocabulary $vocab', async ({ problem }) => {
    await onEachVariant(target, async (device) => expectAccurate(await runLoss(device, problem), problem));
  });

  test.each(byOption)('%s', async (_, problem) => {
    await onEachVariant(target, async (device) => expectAccurate(await runLoss(device, problem), problem));
  });
});
