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

/** Options of a training run. */
export interface TrainerOptions {
  /** Device of a new model; a given model trains on its own device. */
  readonly device: Device;
  /**
   * A model to train, or options of a new one; its vocabulary is the tokenizer's unless given. A resumed run needs none: it
   * continues with the model of its checkpoint.
   */
  readonly model?: Omit<ModelOptions, 'vocabSize'> | MtpModel;
  /**
   * Type in which a new model computes; a given model keeps its own. With bfloat16, the trained and saved weights, the means
   * of the optimizer and all sums stay float32. Default float32.
   */
  readonly dtype?: ActivationDType;
  /** Tokenizer of the corpus, saved in checkpoints. */
  readonly tokenizer: Tokenizer;
  /**
   * The corpus, as `prepareCorpus` returns it, or a function that prepares it, called after all other options have been
   * checked. The caller closes the corpus.
   */
  readonly data: TokenFile | (() => Promise<TokenFile>);
  /** Steps of the whole run, those before a resume included. Default of a resumed run: as many as before. */
  readonly steps?: number;
  /** Rows of a batch. Default 8. */
  readonly batchSize?: number;
  /** Tokens of a row. Default 256. */
  readonly sequenceLength?: number;
  /** Batches of a step, whose gradients are accumulated: the same as one larger batch, in less memory. Default 1. */
  readonly accumulation?: number;
  /** Fraction of the corpus, from its end, held out from training for evaluation; 0 for none. Default 0.05. */
  readonly heldOut?: number;
  /**
   * Default: cosine with a peak of 1e-3 and a warm-up of 2 % of the steps. A resumed run may change the schedule, in whole or in
   * part, from its checkpoint on; its warm-up keeps the length it had when the run began.
   */
  readonly learningRate?: Partial<Omit<LearningRateOptions, 'steps'>>;
  /** AdamW and gradient clipping. */
  readonly optimizer?: AdamWOptions;
  /** Default: weight 1 for every head. */
  readonly headWeights?: HeadWeightOptions;
  /** Which heads learn at which step. Default: all heads at every step. */
  readonly curriculum?: CurriculumOptions;
  /** Terms of the loss beside cross-entropy. */
  readonly loss?: LossTerms;
  /** Seed of the initial weights and of the order of rows. Default 0. */
  readonly seed?: number;
  /**
   * Directory for the log (`foretoken-log.jsonl`) and the checkpoints; without one nothing is written. The trainer holds a
   * lock on the directory until it is disposed.
   */
  readonly output?: string;
  /**
   * A checkpoint, or a run's directory for its newest checkpoint, to continue from as if the run had never stopped. Options left
   * out are those of the run. Given options must equal those of the run, except the learning rate, the number of steps, and
   * when to evaluate and save.
   */
  readonly resume?: string;
  /** Steps between evaluations; 0 to evaluate at the end only. Default 0. */
  readonly evalEvery?: number;
  /** Held-out rows to evaluate, from the first; 0 for all. Default 256. */
  readonly evalRows?: number;
  /** Steps between checkpoints, in addition to those at the end and before every evaluation; 0 for none. Default 0. */
  readonly saveEvery?: number;
  /** Minutes between checkpoints, in addition to `saveEvery`; 0 for none. Default 10. */
  readonly saveEveryMinutes?: number;
  /**
   * Checkpoints to keep; older ones of the same run are deleted. With 1, the previous checkpoint stays until the first loss after
   * the newest has shown that its weights are good. Default 2.
   */
  readonly keepCheckpoints?: number;
}

/** Options that a resumed run may change. */
export type RunSettings = Required<
  Pick<
    TrainerOptions,
    'steps' | 'evalEvery' | 'evalRows' | 'saveEvery' | 'saveEveryMinutes' | 'keepCheckpoints'
  >
>;

/** Terms of the loss beside cross-entropy, as in {@link LinearCrossEntropyOptions}; all 0 by default. */
export type LossTerms = Pick<HeadLossOptions, 'labelSmoothing' | 'zLoss' | 'entropyWeight'>;

/** Options that decide a run's numbers, as saved in a checkpoint. A resumed run must have the same, except the learning rate. */
export interface Recipe {
  /** The model's configuration. */
  readonly model: ModelConfig;
  /** Type in which the model computes. */
  readonly dtype: ActivationDType;
  /** Checksum of the corpus. */
  readonly data: string;
  /** Rows of a batch. */
  readonly batchSize: number;
  /** Tokens of a row. */
  readonly sequenceLength: number;
  /** Batches of a step. */
  readonly accumulation: number;
  /** Fraction of the corpus that is held out from training. */
  readonly heldOut: number;
  /** Schedule of the learning rate. The number of steps is no part of the recipe, so that a run can be made longer. */
  readonly learningRate: Omit<LearningRateOptions, 'steps'>;
  /** AdamW and gradient clipping. */
  readonly optimizer: Required<AdamWOptions>;
  /** Weight of each head's loss. */
  readonly headWeights: HeadWeightOptions;
  /** Which heads learn at which step; null for all heads at every step. */
  readonly curriculum: CurriculumOptions | null;
  /** Terms of the loss beside cross-entropy. */
  readonly loss: Required<LossTerms>;
  /** Seed of the initial weights and of the order of rows. */
  readonly seed: number;
}
