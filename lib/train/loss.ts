import {
  arrayOf,
  check,
  checkOptions,
  instance,
  integer,
  number,
  object,
  oneOf,
  required,
  shaped,
  type Schema,
} from '../check';
import { backwardTakingOver, noGrad } from '../tensor/autograd';
import { device as deviceChecker, int32Array, LARGEST_INT } from '../tensor/checks';
import type { Device } from '../tensor/device';
import {
  LINEAR_CROSS_ENTROPY_OPTIONS,
  linearCrossEntropy,
  linearCrossEntropyWithGrad,
  type LinearCrossEntropyOptions,
  type LinearCrossEntropyResult,
} from '../tensor/ops/loss/linear-cross-entropy';
import { scope } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import type { HeadOutputs, Heads } from '../heads/heads';
import { inputsOf, needsHidden, reads, stateOf, type Available } from '../heads/inputs';
import type { TrainingRows } from '../nn/rows';
import { MtpModel } from '../model/model';

/** Packed rows to train on. All arrays are [batch · length], row after row. */
export interface TrainingBatch {
  /** Number of rows. */
  batch: number;
  /** Tokens in a row. */
  length: number;
  /** Token ids. */
  tokens: Int32Array;
  /** Index in its row of the first token of each token's document. */
  starts: Int32Array;
  /** targets[k-1][t]: token t+k, or -100 where it is not in the document of token t. One array for each head. */
  targets: readonly Int32Array[];
}

/** A batch on a device. */
export interface DeviceBatch {
  /** Where rows and documents begin, and the position of each token. */
  rows: TrainingRows;
  /** int32 [batch · length]. */
  tokens: Tensor;
  /** int32 [batch · length], one for each head. */
  targets: Tensor[];
  /** int32 [batch · length] each: tokens t+1, t+2, … of every position t, as far as the heads read them. */
  following: Tensor[];
}

const TRAINING_BATCH = object<TrainingBatch>({
  batch: required(integer(1, LARGEST_INT)),
  length: required(integer(1, LARGEST_INT)),
  tokens: required(int32Array),
  starts: required(int32Array),
  targets: required(arrayOf(int32Array)),
});

const READING_HEADS = shaped<Heads>('the heads of a model', { reads: 'object' });

/**
 * Uploads a batch.
 * @param heads `model.heads`, which decide which tokens are uploaded for heads
 */
export function uploadBatch(device: Device, batch: TrainingBatch, heads: Pick<Heads, 'reads'>): DeviceBatch {
  check('uploadBatch: device', device, deviceChecker);
  check('uploadBatch: batch', batch, TRAINING_BATCH);
  check('uploadBatch: heads', heads, READING_HEADS);
  const mostAhead = reads(heads, 'tokens') ? Infinity : reads(heads, 'root') ? 1 : 0;
  const positions = batch.starts.map((start, i) => (i % batch.length) - start);
  return {
    rows: {
      kind: 'packed',
      batch: batch.batch,
      starts: device.tensor(batch.starts),
      positions: device.tensor(positions),
    },
    tokens: device.tensor(batch.tokens),
    targets: batch.targets.map((targets) => device.tensor(targets)),
    // Head k reads targets of heads before it. If one of these has no target, neither has head k, and any token will do.
    following: batch.targets
      .slice(0, -1)
      .slice(0, mostAhead)
      .map((targets) => device.tensor(targets.map((token) => Math.max(token, 0)))),
  };
}

/** Options of the loss of all heads. */
export type HeadLossOptions = Pick<
  LinearCrossEntropyOptions,
  'labelSmoothing' | 'zLoss' | 'entropyWeight' | 'chunkRows' | 'outputs'
> & {
  /** Loss of head k = weights[k-1] · sum over the positions with a target. A weight of 0 leaves the head out. */
  weights: readonly number[];
};

const HEAD_LOSS_OPTIONS: Schema<HeadLossOptions> = {
  labelSmoothing: LINEAR_CROSS_ENTROPY_OPTIONS.labelSmoothing,
  zLoss: LINEAR_CROSS_ENTROPY_OPTIONS.zLoss,
  entropyWeight: LINEAR_CROSS_ENTROPY_OPTIONS.entropyWeight,
  chunkRows: LINEAR_CROSS_ENTROPY_OPTIONS.chunkRows,
  outputs: LINEAR_CROSS_ENTROPY_OPTIONS.outputs,
  weights: required(arrayOf(number(-Infinity))),
};

const DEVICE_BATCH = shaped<DeviceBatch>('a batch, as uploadBatch makes it', {
  rows: 'object',
  tokens: 'object',
  targets: 'object',
  following: 'object',
});

/** Checks the arguments of {@link backwardHeadByHead} and {@link lossAllHeads}. */
function checkLoss(
  where: string,
  model: MtpModel,
  batch: DeviceBatch,
  options: HeadLossOptions,
): HeadLossOptions {
  check(`${where}: model`, model, instance(MtpModel));
  check(`${where}: batch`, batch, DEVICE_BATCH);
  const checked = checkOptions(where, options, HEAD_LOSS_OPTIONS);
  check(`${where}: number of weights`, checked.weights.length, oneOf(batch.targets.length));
  return checked;
}

/** Results of one head. */
export type HeadLoss = LinearCrossEntropyResult;

/** Options of one head's loss: `weight` times the sum over the positions with a target. */
function optionsOfHead(
  { device }: MtpModel,
  weight: number,
  { weights: _, ...rest }: HeadLossOptions,
): LinearCrossEntropyOptions {
  return { ...rest, reduction: 'sum', headWeights: device.tensor(Float32Array.of(weight)) };
}

/**
 * Computes the loss of every head and all gradients, one head after another. The activations of a head are freed before those
 * of the next are computed, so memory does not grow with the number of heads (Gloeckle et al. 2024, section 2,
 * "Memory-efficient implementation").
 * @returns results by head; null for heads that are left out
 */
export function backwardHeadByHead(
  model: MtpModel,
  batch: DeviceBatch,
  given: HeadLossOptions,
): (HeadLoss | null)[] {
  const options = checkLoss('backwardHeadByHead', model, batch, given);
  return scope(() => {
    const { z, features } = model.trunk(batch.tokens, batch.rows);
    // Leaves that accumulate the gradients of all heads.
    const dz = z.detach().requireGrad();
    const dFeatures = features?.detach().requireGrad() ?? null;
    const hidden = needsHidden(model.heads) ? model.nextTokenHidden(dz, batch.rows) : null;
    const dHidden = hidden?.detach().requireGrad() ?? null;
    const shared = { z: dz, hidden: dHidden, features: dFeatures };
    const passesState = reads(model.heads, 'previous');
    const losses: (HeadLoss | null)[] = batch.targets.map(() => null);
    const learn = (k: number, of: Tensor, more: readonly (readonly [Tensor, Tensor])[] = []): void => {
      const { hiddenGrad, ...loss } = linearCrossEntropyWithGrad(
        of,
        model.unembedding.operand,
        batch.targets[k - 1]!,
        optionsOfHead(model, options.weights[k - 1]!, options),
      );
      backwardTakingOver([[of, hiddenGrad], ...more]);
      losses[k - 1] = loss;
    };

    if (options.weights[0] !== 0) {
      scope(() => (learn(1, dHidden ?? model.nextTokenHidden(dz, batch.rows)), losses[0]));
    }
    const last = options.weights.findLastIndex((weight) => weight !== 0) + 1;
    const previous = passesState ? statesBetween(model, batch, shared, last) : [];
    // From the last head to the second, because a head that reads a state passes a gradient to the head before it.
    for (let k = last; k >= 2; k--) {
      if (options.weights[k - 1] === 0 && !passesState) continue;
      scope(() => {
        const out = forwardHead(k, model, batch, { ...shared, previous: previous[k - 1] ?? dHidden });
        const gradOfState = previous[k]?.grad;
        const more = gradOfState ? [[stateOf(k, out), gradOfState] as const] : [];
        if (options.weights[k - 1] === 0) backwardTakingOver(more);
        else learn(k, out.hidden, more);
        previous[k]?.dispose();
        return losses[k - 1];
      });
    }
    if (dHidden?.grad) backwardTakingOver([[hidden!, dHidden.grad]]);
    const roots = [[z, dz.grad] as const, [features, dFeatures?.grad] as const];
    backwardTakingOver(roots.flatMap(([output, grad]) => (output && grad ? [[output, grad]] : [])));
    return losses;
  });
}

/** Runs head k on a batch. */
function forwardHead(
  k: number,
  { heads }: MtpModel,
  { following, rows }: DeviceBatch,
  states: Available,
): HeadOutputs {
  const available = { ...states, tokens: following[k - 2], root: following[0] };
  return heads.forward(k, inputsOf(heads, available, rows));
}

/**
 * Returns the state of each head k before the last at index k, as leaves that accumulate gradients. Only these states are kept: a
 * head's activations are computed again when it learns.
 */
function statesBetween(
  model: MtpModel,
  batch: DeviceBatch,
  shared: Available,
  last: number,
): (Tensor | undefined)[] {
  const states: (Tensor | undefined)[] = [];
  for (let k = 2; k < last; k++) {
    const previous = states[k - 1] ?? shared.hidden;
    const state = noGrad(() =>
      scope(() => stateOf(k, forwardHead(k, model, batch, { ...shared, previous }))),
    );
    states[k] = state.requireGrad();
  }
  return states;
}

/** Computes the same loss as {@link backwardHeadByHead}, with one graph of all heads. */
export function lossAllHeads(
  model: MtpModel,
  batch: DeviceBatch,
  given: HeadLossOptions,
): (HeadLoss | null)[] {
  const options = checkLoss('lossAllHeads', model, batch, given);
  const outputs = model.trunk(batch.tokens, batch.rows);
  const hidden = model.nextTokenHidden(outputs.z, batch.rows);
  let previous = hidden;
  return batch.targets.map((targets, index) => {
    let of = hidden;
    if (index > 0) {
      const out = forwardHead(index + 1, model, batch, { ...outputs, hidden, previous });
      of = out.hidden;
      const isLast = index + 1 === batch.targets.length;
      if (reads(model.heads, 'previous') && !isLast) previous = stateOf(index + 1, out);
    }
    const weight = options.weights[index]!;
    if (weight === 0) return null;
    return linearCrossEntropy(of, model.unembedding.operand, targets, optionsOfHead(model, weight, options));
  });
}
