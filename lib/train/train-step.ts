import type { MtpModel } from '../model/model';
import { accumulate } from '../tensor/ops/layers/elementwise';
import { NO_TARGET } from '../tensor/ops/loss/no-target';
import { scope } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import type { PackedBatch } from './data';
import { backwardHeadByHead, uploadBatch } from './loss';
import type { AdamW } from './optimizer';
import type { LossTerms } from './options';

/** One step of the optimizer. */
export interface TrainStep {
  readonly batches: readonly PackedBatch[];
  /** Rows of each batch. */
  readonly batchSize: number;
  /** Weight of each head's loss. A head of weight 0 does not learn. */
  readonly weights: readonly number[];
  readonly terms: Required<LossTerms>;
  readonly learningRate: number;
}

/** Numbers of a step, all from before its update. */
export interface StepLosses {
  /** The minimised loss: the weighted sum over the heads. */
  readonly loss: number;
  /** Mean of -log p(token) of each head in nats; null for heads without targets and heads that do not learn. */
  readonly headLosses: readonly (number | null)[];
  /** Global norm of the gradient before clipping. */
  readonly gradientNorm: number;
}

/** Runs a step: enqueues all of it, then reads one small tensor back. */
export async function runTrainStep(model: MtpModel, optimizer: AdamW, step: TrainStep): Promise<StepLosses> {
  const { batches, weights } = step;
  const counts = weights.map((_, i) => countTargets(batches.map(({ targets }) => targets[i]!)));
  const { sums, nll } = enqueue(model, optimizer, step, counts);
  const [values, nllSums] = await Promise.all([sums.data(), sumsByHead(nll)]);
  for (const tensor of [sums, ...nll.flat()]) tensor.dispose();
  const means = (sumOf: ArrayLike<number>): (number | null)[] =>
    weights.map((weight, i) => (weight === 0 || counts[i] === 0 ? null : sumOf[i]! / counts[i]!));
  return {
    loss: means(values).reduce((total: number, mean, i) => total + weights[i]! * (mean ?? 0), 0),
    headLosses: means(nllSums ?? values),
    gradientNorm: values[weights.length]!,
  };
}

/**
 * Returns [heads + 1], the sum of each head's losses and the norm of the gradient; and, if the loss has terms beside
 * -log p(token), -log p of every position by head and batch.
 */
function enqueue(
  model: MtpModel,
  optimizer: AdamW,
  { batches, batchSize, weights, terms, learningRate }: TrainStep,
  counts: readonly number[],
): { sums: Tensor; nll: Tensor[][] } {
  // Means over all batches of the step, so that accumulation gives the same as one large batch.
  const meanWeights = weights.map((weight, i) => (counts[i] === 0 ? 0 : weight / counts[i]!));
  return scope(() => {
    model.parameters.zeroGradients();
    const sums = model.device.zeros([weights.length + 1]);
    const hasTerms = Object.values(terms).some((term) => term !== 0);
    const outputs = hasTerms ? (['nll'] as const) : [];
    const options = { ...terms, weights: meanWeights, outputs };
    const nll: Tensor[][] = weights.map(() => []);
    for (const packed of batches) {
      const losses = scope(() => {
        const batch = { ...packed, batch: batchSize, length: packed.tokens.length / batchSize };
        return backwardHeadByHead(model, uploadBatch(model.device, batch, model.heads), options);
      });
      losses.forEach((loss, i) => {
        if (loss) accumulate(sums.view(i, [1]), loss.headLoss);
        if (loss?.nll) nll[i]!.push(loss.nll);
      });
    }
    const norm = optimizer.update(learningRate);
    sums.view(weights.length, [1]).copyFrom(norm);
    return { sums, nll };
  });
}

/** Sums up the values of each head; null if there are none for any head. */
async function sumsByHead(values: readonly (readonly Tensor[])[]): Promise<number[] | null> {
  if (values.flat().length === 0) return null;
  return Promise.all(
    values.map(async (ofHead) => {
      const arrays = await Promise.all(ofHead.map((tensor) => tensor.data()));
      let sum = 0;
      for (const array of arrays) for (const value of array) sum += value;
      return sum;
    }),
  );
}

function countTargets(targets: readonly Int32Array[]): number {
  let count = 0;
  for (const array of targets) for (const target of array) if (target !== NO_TARGET) count += 1;
  return count;
}
