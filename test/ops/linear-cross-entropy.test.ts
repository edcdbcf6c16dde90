// Loss, statistics and gradients against the float64 oracle, on every instruction-set level and number of threads.
import { onCpu } from '../support/cpu';
import { representable, type HalfDType } from '../support/half';
import { cpuVariants, expectAccurate, randomProblem, runLoss } from '../support/loss';
import type { LossProblem } from '../support/loss-oracle';

/** Sizes around the vector lengths and tiles, all odd ones out included. */
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
const byDType = (['bfloat16', 'float16'] as const).map((dtype) => [dtype, halfProblem(dtype)] as const);

function halfProblem(dtype: HalfDType): LossProblem {
  const problem = randomProblem(9, { rows: 11, dim: 37, vocab: 71 }, { labelSmoothing: 0.1 });
  return {
    ...problem,
    hidden: representable(problem.hidden, dtype),
    weight: representable(problem.weight, dtype),
  };
}

describe.each(cpuVariants)('$isa, $threads threads', (variant) => {
  test.each(bySize)('$rows rows, dim $dim, vocabulary $vocab', async ({ problem }) => {
    await onCpu(variant, async (device) => expectAccurate(await runLoss(device, problem), problem));
  });

  test.each(byOption)('%s', async (_, problem) => {
    await onCpu(variant, async (device) => expectAccurate(await runLoss(device, problem), problem));
  });

  test.each(byDType)('%s inputs', async (dtype, problem) => {
    await onCpu(variant, async (device) =>
      expectAccurate(await runLoss(device, problem, { dtype }), problem),
    );
  });
});
