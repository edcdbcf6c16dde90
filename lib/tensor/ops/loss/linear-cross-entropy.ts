import { arrayOf, check, checkOptions, integer, number, object, oneOf, type Schema } from '../../../check';
import { native } from '../../../native/load';
import { gradTarget, isRecording, record } from '../../autograd';
import { handleOf, LARGEST_INT, tensor } from '../../checks';
import { scope } from '../../scope';
import { Tensor } from '../../tensor';
import { NO_TARGET } from './no-target';

/** Per-row results that are computed on request. Ignored rows hold 0, and -1 in argmax and rank. */
export type LossOutput = (typeof LOSS_OUTPUTS)[number];
const LOSS_OUTPUTS = ['nll', 'lse', 'entropy', 'argmax', 'rank'] as const;

/** Options of {@link linearCrossEntropy}. */
export interface LinearCrossEntropyOptions {
  /** [vocab], added to the logits. */
  bias?: Tensor;
  /** float32 [rows]: upstream gradient or weight of each row, known up front. Default: all ones. */
  coefficients?: Tensor;
  /** Number of heads: the rows are this many equal runs, one for each head. Default 1. */
  heads?: number;
  /** float32 [heads]: weight of each head. Default: all ones. */
  headWeights?: Tensor;
  /** `mean` over the valid rows of all heads, `meanPerHead` (the sum of each head's mean) or `sum`. Default `mean`. */
  reduction?: 'mean' | 'meanPerHead' | 'sum';
  /** Target that marks ignored rows, which take no time. Default -100. */
  ignoreIndex?: number;
  /** ε in 0 … 1: loss = (1-ε)(lse - z_y) + ε(lse - mean z). Default 0. */
  labelSmoothing?: number;
  /** ζ ≥ 0: adds ζ·lse² (Chowdhery et al. 2022, PaLM, section 5). Default 0. */
  zLoss?: number;
  /** β: adds β·H(p), the entropy of the prediction in nats. Default 0. */
  entropyWeight?: number;
  /** z = softcap·tanh(z / softcap) (Gemma 2, section 2). Default 0: off. */
  softcap?: number;
  /** Number of valid rows whose logits exist at the same time. Default: as many as fit in about 48 MiB. */
  chunkRows?: number;
  /** Per-row results to compute. */
  outputs?: readonly LossOutput[];
}

/** Result of {@link linearCrossEntropy}; results for each row only if `outputs` names them. */
export interface LinearCrossEntropyResult {
  /** Scalar, differentiable with respect to hidden, weight and bias. */
  loss: Tensor;
  /** float32 [heads]: sum of the losses of the head's valid rows, unweighted. */
  headLoss: Tensor;
  /** int32 [heads]: valid rows. */
  headCount: Tensor;
  /** float32 [rows]: -log p(target), in nats. */
  nll?: Tensor;
  /** float32 [rows]: log Σ exp z. */
  lse?: Tensor;
  /** float32 [rows]: H(p), in nats. */
  entropy?: Tensor;
  /** int32 [rows]: the most likely token, lowest id on ties. */
  argmax?: Tensor;
  /** int32 [rows]: how many tokens are likelier than the target; the target is among the top k if this is below k. */
  rank?: Tensor;
}

/** The tensors for the gradients; gradients without a tensor are not computed. */
export interface LinearCrossEntropyGradients {
  /** [rows, dim], overwritten; float32, or bfloat16 where the hidden states are. */
  hidden?: Tensor;
  /** float32 [vocab, dim], added to. */
  weight?: Tensor;
  /** float32 [vocab], added to. */
  bias?: Tensor;
}

export const LINEAR_CROSS_ENTROPY_OPTIONS: Schema<LinearCrossEntropyOptions> = {
  bias: tensor,
  coefficients: tensor,
  heads: integer(1, LARGEST_INT),
  headWeights: tensor,
  reduction: oneOf('mean', 'meanPerHead', 'sum'),
  ignoreIndex: integer(-LARGEST_INT - 1, LARGEST_INT),
  labelSmoothing: number(0, 1),
  zLoss: number(0),
  entropyWeight: number(-Infinity),
  softcap: number(0),
  chunkRows: integer(0),
  outputs: arrayOf(oneOf(...LOSS_OUTPUTS)),
};

const GRADIENTS = object<LinearCrossEntropyGradients>({ hidden: tensor, weight: tensor, bias: tensor });

function call(
  mode: 'loss' | 'lossAndGrad' | 'backward',
  hidden: Tensor,
  weight: Tensor,
  targets: Tensor,
  options: LinearCrossEntropyOptions,
  gradients: LinearCrossEntropyGradients,
  savedLse?: Tensor,
): LinearCrossEntropyResult {
  const { outputs = [] } = options;
  const wanted = LOSS_OUTPUTS.filter((output) => outputs.includes(output));
  const handles = native.linearCrossEntropy(
    mode,
    handleOf(hidden),
    handleOf(weight),
    handleOf(options.bias),
    handleOf(targets),
    handleOf(options.coefficients),
    options.heads ?? 1,
    handleOf(options.headWeights),
    options.reduction ?? 'mean',
    options.ignoreIndex ?? NO_TARGET,
    options.labelSmoothing ?? 0,
    options.zLoss ?? 0,
    options.entropyWeight ?? 0,
    options.softcap ?? 0,
    options.chunkRows ?? 0,
    ...(LOSS_OUTPUTS.map((output) => wanted.includes(output)) as [
      boolean,
      boolean,
      boolean,
      boolean,
      boolean,
    ]),
    handleOf(savedLse),
    handleOf(gradients.hidden),
    handleOf(gradients.weight),
    handleOf(gradients.bias),
  );
  const [loss, headLoss, headCount, ...rows] = handles.map((handle) => new Tensor(hidden.device, handle));
  const perRow = Object.fromEntries(wanted.map((output, i) => [output, rows[i]!]));
  return { loss: loss!, headLoss: headLoss!, headCount: headCount!, ...perRow };
}

/**
 * Computes unembedding and cross-entropy in one operation. The logits hidden · weightᵀ never exist as a whole, so memory does not
 * grow with the number of heads or rows. If gradients are needed, the same pass computes them from the logits of each chunk.
 *
 * Per row, with z = softcap(h Wᵀ + b), p = softmax(z):
 *   loss = (1-ε)(lse - z_y) + ε(lse - mean z) + ζ·lse² + β·H(p)
 *
 * @param hidden [rows, dim], any floating dtype
 * @param weight [vocab, dim], any floating dtype, shared by all heads
 * @param targets int32 [rows]
 * @throws ForetokenError SHAPE_MISMATCH, DTYPE_MISMATCH, INVALID_ARGUMENT, INDEX_OUT_OF_RANGE (a target outside the
 *   vocabulary), OUT_OF_MEMORY
 * @example
 * ```ts
 * import { linearCrossEntropy, openDevice, scope } from 'foretoken';
 *
 * using device = openDevice('cpu');
 * const { loss, grad } = scope(() => {
 *   const hidden = device.zeros([2, 4]).requireGrad(); // two rows
 *   const weight = device.zeros([10, 4]); // a vocabulary of ten tokens
 *   const { loss } = linearCrossEntropy(hidden, weight, device.tensor(Int32Array.of(3, 7)));
 *   loss.backward();
 *   return { loss, grad: hidden.grad! };
 * });
 * console.log(await loss.item(), await grad.data());
 * ```
 */
export function linearCrossEntropy(
  hidden: Tensor,
  weight: Tensor,
  targets: Tensor,
  options: LinearCrossEntropyOptions = {},
): LinearCrossEntropyResult {
  const checked = checkOptions('linearCrossEntropy', options, LINEAR_CROSS_ENTROPY_OPTIONS);
  const { bias } = checked;
  check('linearCrossEntropy: hidden', hidden, tensor);
  check('linearCrossEntropy: weight', weight, tensor);
  const inputs = [hidden, weight, bias];
  if (!isRecording(inputs)) return call('loss', hidden, weight, targets, checked, {});
  // The scope frees the gradients that the graph does not keep, also if the call fails.
  return scope(() => {
    const gradients: LinearCrossEntropyGradients = {
      hidden: hidden.requiresGrad ? hiddenGradient(hidden) : undefined,
      weight: weight.requiresGrad ? weight.device.zeros(weight.shape) : undefined,
      bias: bias?.requiresGrad ? bias.device.zeros(bias.shape) : undefined,
    };
    const result = call('lossAndGrad', hidden, weight, targets, checked, gradients);
    const present = [gradients.hidden, gradients.weight, gradients.bias];
    const saved = present.filter((gradient): gradient is Tensor => gradient !== undefined);
    record('linearCrossEntropy', inputs, result.loss, saved, (upstream, kept, targetsOfGrad) => {
      let next = 0;
      present.forEach((gradient, i) => {
        if (gradient) {
          native.accumulate(targetsOfGrad[i]!.buffer().handle, kept[next++]!.handle, 1, upstream.handle);
        }
      });
    });
    return result;
  });
}

/** Makes the gradient of the hidden states: in the type of the operation that made them, or in float32 for a leaf. */
function hiddenGradient(hidden: Tensor): Tensor {
  return hidden.device.empty(hidden.shape, hidden.node ? hidden.dtype : 'float32');
}

/**
 * Computes the loss and its gradients at once, outside the recorded graph, for training: a gradient of the unembedding that waits
 * for `backward` in memory of its own would be the largest tensor of a step. The gradients of weight and bias are added in place to
 * the `grad` of these leaves.
 * @returns the loss, and the gradient of the hidden states, from which the caller continues
 */
export function linearCrossEntropyWithGrad(
  hidden: Tensor,
  weight: Tensor,
  targets: Tensor,
  options: LinearCrossEntropyOptions = {},
): LinearCrossEntropyResult & { hiddenGrad: Tensor } {
  return scope(() => {
    const gradients = {
      hidden: hiddenGradient(hidden),
      weight: gradTarget(weight)?.buffer(),
      bias: gradTarget(options.bias)?.buffer(),
    };
    const result = call('lossAndGrad', hidden, weight, targets, options, gradients);
    return { ...result, hiddenGrad: gradients.hidden };
  });
}

/**
 * Computes only the gradients, from the `lse` of an earlier call without gradients, for callers that did not know then whether they
 * would need gradients. Gradients of weight and bias are added to the given tensors.
 */
export function linearCrossEntropyBackward(
  hidden: Tensor,
  weight: Tensor,
  targets: Tensor,
  lse: Tensor,
  gradients: LinearCrossEntropyGradients,
  options: Omit<LinearCrossEntropyOptions, 'outputs'> = {},
): void {
  const where = 'linearCrossEntropyBackward';
  const { outputs: _, ...schema } = LINEAR_CROSS_ENTROPY_OPTIONS;
  const checked = checkOptions(where, options, schema);
  const wanted = check(`${where}: gradients`, gradients, GRADIENTS);
  for (const [name, value] of Object.entries({ hidden, weight, targets, lse })) {
    check(`${where}: ${name}`, value, tensor);
  }
  const { loss, headLoss, headCount } = call('backward', hidden, weight, targets, checked, wanted, lse);
  for (const unused of [loss, headLoss, headCount]) unused.dispose();
}
