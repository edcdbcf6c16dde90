import { ForetokenError } from '../errors';
import { checkPieces, piecesOf, readPieces, type FlatPieces } from '../model/pieces';
import { readSafetensors, writeSafetensors } from '../model/safetensors';
import type { Bucket, ParameterStore } from '../nn/parameters';
import { adamw, clipCoefficient, sumSquares } from '../tensor/ops/optimizer/optimizer';
import { keep, scope } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import { checkNumber, isInteger } from '../check';

/** Options of AdamW (Loshchilov & Hutter 2019) and of gradient clipping. */
export interface AdamWOptions {
  /** Decay of the running mean of the gradient. Default 0.9. */
  readonly beta1?: number;
  /** Decay of the running mean of the squared gradient. Default 0.95. */
  readonly beta2?: number;
  /** Added to the denominator of the update, the root of the mean square. Default 1e-8. */
  readonly eps?: number;
  /** Weight decay of matrices; norms and biases have none. Default 0.1. */
  readonly weightDecay?: number;
  /** Largest global norm of the gradient; larger gradients are scaled down. 0 switches clipping off. Default 1. */
  readonly maxGradNorm?: number;
}

/** Beyond these limits float32 cannot represent 1 - beta, or eps itself. */
const LARGEST_BETA = 0.999999;
const SMALLEST_EPS = 1e-30;

/** The running means of one bucket, laid out like the bucket. */
interface Moments {
  readonly bucket: Bucket;
  /** Mean of the gradient. */
  readonly m: Tensor;
  /** Mean of the squared gradient. */
  readonly v: Tensor;
}

/**
 * AdamW (Loshchilov & Hutter 2019) with clipping by the global norm, over all parameters of a model. The norm and the clipping
 * coefficient stay on the device: an update reads nothing back.
 */
export class AdamW implements Disposable {
  readonly options: Required<AdamWOptions>;
  /** Number of updates so far. */
  step = 0;
  readonly #moments: readonly Moments[];

  constructor(
    private readonly store: ParameterStore,
    options: AdamWOptions = {},
  ) {
    this.options = adamwOptions(options);
    store.allocateGradients();
    const zeros = (bucket: Bucket): Tensor => keep(store.device.zeros(bucket.value.shape));
    this.#moments = store.buckets.map((bucket) => ({ bucket, m: zeros(bucket), v: zeros(bucket) }));
  }

  /**
   * Updates the parameters with the gradients accumulated in the store.
   * @returns the global norm of the gradient before clipping, [1]
   */
  update(learningRate: number): Tensor {
    this.step += 1;
    const { store, step } = this;
    const { maxGradNorm, ...options } = this.options;
    const norm = scope(() => {
      const squares = store.device.empty([this.#moments.length]);
      this.#moments.forEach(({ bucket }, i) => squares.view(i, [1]).copyFrom(sumSquares(bucket.grad!)));
      const clip = clipCoefficient(squares, maxGradNorm);
      for (const { bucket, m, v } of this.#moments) {
        const weightDecay = bucket.decay ? options.weightDecay : 0;
        const numbers = { ...options, lr: learningRate, weightDecay, step };
        adamw(bucket.value, bucket.grad!, m, v, clip.coefficient, numbers, bucket.rounded ?? undefined);
      }
      return clip.norm;
    });
    store.updated();
    return norm;
  }

  /** Writes the running means, under the names of the parameters, and the number of updates. */
  async save(path: string): Promise<void> {
    const tensors = this.#pieces().flatMap(({ flat, pieces }) => piecesOf(flat, pieces));
    await writeSafetensors(path, tensors, { step: String(this.step) });
  }

  /**
   * Reads the running means and the number of updates.
   * @throws CORRUPT_FILE naming the tensor if the file belongs to another model or is damaged
   */
  async load(path: string): Promise<void> {
    const file = await readSafetensors(path);
    try {
      const flats = this.#pieces();
      checkPieces(
        file,
        "the run's optimizer",
        flats.flatMap(({ pieces }) => pieces),
      );
      for (const each of flats) await readPieces(file, each);
      const step = Number(file.metadata.step ?? NaN);
      if (!isInteger(step, 0)) {
        throw new ForetokenError('CORRUPT_FILE', `${path}: the number of steps is missing`);
      }
      this.step = step;
    } finally {
      await file.close();
    }
  }

  #pieces(): FlatPieces[] {
    return this.#moments.flatMap(({ bucket, m, v }) => {
      const pieces = this.store.pieces(bucket);
      const named = (prefix: string): FlatPieces['pieces'] =>
        pieces.map((piece) => ({ ...piece, name: prefix + piece.name }));
      return [
        { flat: m, pieces: named('m.') },
        { flat: v, pieces: named('v.') },
      ];
    });
  }

  dispose(): void {
    for (const { m, v } of this.#moments) {
      m.dispose();
      v.dispose();
    }
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * Fills in defaults.
 * @throws INVALID_ARGUMENT naming the option
 */
export function adamwOptions(options: AdamWOptions): Required<AdamWOptions> {
  return {
    beta1: checkNumber('optimizer: beta1', options.beta1 ?? 0.9, 0, LARGEST_BETA),
    beta2: checkNumber('optimizer: beta2', options.beta2 ?? 0.95, 0, LARGEST_BETA),
    eps: checkNumber('optimizer: eps', options.eps ?? 1e-8, SMALLEST_EPS),
    weightDecay: checkNumber('optimizer: weightDecay', options.weightDecay ?? 0.1, 0),
    maxGradNorm: checkNumber('optimizer: maxGradNorm', options.maxGradNorm ?? 1, 0),
  };
}
