import type { ModelConfig, ModelOptions } from '../model/config';
import type { HeadLossOptions } from './loss';
import type { MtpModel } from '../model/model';
import type { ActivationDType } from '../tensor/types';
import type { Tokenizer } from '../model/tokenizer';
import type { Device } from '../tensor/device';
import type { TokenFile } from './data';
import type { CurriculumOptions, HeadWeightOptions } from './head-schedule';
import type { AdamWOptions } from './optimizer';
import type { LearningRateOptions } from './schedule';

/** Everything that a training run needs to be told. */
export interface TrainerOptions {
  /** Where a new model is made; a given one trains where it is. */
  readonly device: Device;
  /**
   * What to make a new model from (its vocabulary is the tokenizer's unless given), or a model to train on. A resumed
   * run needs none: it goes on with the model of its checkpoint.
   */
  readonly model?: Omit<ModelOptions, 'vocabSize'> | MtpModel;
  /**
   * What a new model computes in; a given one keeps its own. With bfloat16 the weights that are trained and saved, the
   * optimizer's means and all sums stay float32. Default float32.
   */
  readonly dtype?: ActivationDType;
  /** The corpus' tokenizer; checkpoints keep it. */
  readonly tokenizer: Tokenizer;
  /**
   * The corpus, as `prepareCorpus` makes it, or a function that prepares it, which is called when all other options have
   * been found right. The caller closes it.
   */
  readonly data: TokenFile | (() => Promise<TokenFile>);
  /** Steps of the whole run, those before a resume included. A resumed run has as many as before unless told otherwise. */
  readonly steps?: number;
  /** Rows at a time. Default 8. */
  readonly batchSize?: number;
  /** Tokens in a row. Default 256. */
  readonly sequenceLength?: number;
  /** Batches whose gradients make one step: the same as a batch that many times as large, in less memory. Default 1. */
  readonly accumulation?: number;
  /** Part of the corpus, from its end, that is not trained on but evaluated with; 0 for none. Default 0.05. */
  readonly heldOut?: number;
  /**
   * Default: cosine with a peak of 1e-3, and a warm-up of 2 % of the steps. A resumed run may be given another course, in
   * whole or in part, from its checkpoint on; the warm-up stays as long as it was when the run began.
   */
  readonly learningRate?: Partial<Omit<LearningRateOptions, 'steps'>>;
  /** AdamW and clipping. */
  readonly optimizer?: AdamWOptions;
  /** Default: every head weighs 1. */
  readonly headWeights?: HeadWeightOptions;
  /** Which heads learn at which step. Default: all, always. */
  readonly curriculum?: CurriculumOptions;
  /** ε, ζ and β of `linearCrossEntropy`. */
  readonly loss?: LossTerms;
  /** Seed of the initial weights and of the order of rows. Default 0. */
  readonly seed?: number;
  /**
   * Directory for the log (`foretoken-log.jsonl`) and the checkpoints; without one nothing is written. It is locked for
   * other trainings until the trainer is disposed.
   */
  readonly output?: string;
  /**
   * Goes on from a checkpoint, or from the newest one in a run's directory, as if the run had never stopped. Options
   * that are left out are those of the run; the others must be the same, but for the learning rate, the number of steps
   * and what is evaluated and saved when.
   */
  readonly resume?: string;
  /** Steps between evaluations, besides the one at the end; 0 for none. Default 0. */
  readonly evalEvery?: number;
  /** Held-out rows to evaluate with, from their beginning; 0 for all. Default 256. */
  readonly evalRows?: number;
  /** Steps between checkpoints, besides those at the end and before every evaluation; 0 for none. Default 0. */
  readonly saveEvery?: number;
  /** Minutes after which the next checkpoint is saved, whatever `saveEvery` is; 0 for never. Default 10. */
  readonly saveEveryMinutes?: number;
  /**
   * Checkpoints to keep; older ones of the same run are deleted. With 1, an older one stays until the first loss after
   * the newest has shown that its weights are good. Default 2.
   */
  readonly keepCheckpoints?: number;
}

/** What a resumed run may be told otherwise. */
export type RunSettings = Required<
  Pick<
    TrainerOptions,
    'steps' | 'evalEvery' | 'evalRows' | 'saveEvery' | 'saveEveryMinutes' | 'keepCheckpoints'
  >
>;

/** The parts of the loss beside cross-entropy, as in {@link LinearCrossEntropyOptions}; all 0 by default. */
export type LossTerms = Pick<HeadLossOptions, 'labelSmoothing' | 'zLoss' | 'entropyWeight'>;

/** What decides a run's numbers, as it stands in a checkpoint. A resumed run must have the same, learning rate apart. */
export interface Recipe {
  /** The model's configuration. */
  readonly model: ModelConfig;
  /** What the model computes in. */
  readonly dtype: ActivationDType;
  /** The corpus' checksum. */
  readonly data: string;
  /** Rows at a time. */
  readonly batchSize: number;
  /** Tokens in a row. */
  readonly sequenceLength: number;
  /** Batches whose gradients make one step. */
  readonly accumulation: number;
  /** Part of the corpus that is not trained on. */
  readonly heldOut: number;
  /** The learning rate's course. The number of steps is no part of the recipe, so that a run can be made longer. */
  readonly learningRate: Omit<LearningRateOptions, 'steps'>;
  /** AdamW and clipping. */
  readonly optimizer: Required<AdamWOptions>;
  /** What each head's loss weighs. */
  readonly headWeights: HeadWeightOptions;
  /** Which heads learn when; null: all, always. */
  readonly curriculum: CurriculumOptions | null;
  /** The parts of the loss beside cross-entropy. */
  readonly loss: Required<LossTerms>;
  /** Seed of the initial weights and of the order of rows. */
  readonly seed: number;
}
