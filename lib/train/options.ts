import { isDeepStrictEqual } from 'node:util';
import { ForetokenError } from '../errors';
import type { ModelConfig, ModelOptions } from '../model/config';
import type { HeadLossOptions } from '../model/loss';
import type { MtpModel } from '../model/model';
import type { ActivationDType } from '../native/binding';
import type { Tokenizer } from '../model/tokenizer';
import type { Device } from '../tensor/device';
import { checkInteger, checkNumber } from '../check';
import { checkRowsFit, MOST_ROWS, type TokenFile } from './data';
import type { CurriculumOptions, HeadWeightOptions } from './head-schedule';
import { adamwOptions, type AdamWOptions } from './optimizer';
import type { LearningRateOptions } from './schedule';

/** Everything that a training run needs to be told. */
export interface TrainerOptions {
  /** Where a new model is made; a given one trains where it is. */
  readonly device: Device;
  /** What to make a new model from (its vocabulary is the tokenizer's unless given), or a model to train on. */
  readonly model: Omit<ModelOptions, 'vocabSize'> | MtpModel;
  /**
   * What a new model computes in; a given one keeps its own. With bfloat16 the weights that are trained and saved, the
   * optimizer's means and all sums stay float32. Default float32.
   */
  readonly dtype?: ActivationDType;
  /** The corpus' tokenizer; checkpoints keep it. */
  readonly tokenizer: Tokenizer;
  /** The corpus, as `prepareCorpus` makes it. */
  readonly data: TokenFile;
  /** Steps of the whole run, those before a resume included. */
  readonly steps: number;
  /** Rows at a time. Default 8. */
  readonly batchSize?: number;
  /** Tokens in a row. Default 256. */
  readonly sequenceLength?: number;
  /** Batches whose gradients make one step: the same as a batch that many times as large, in less memory. Default 1. */
  readonly accumulation?: number;
  /** Part of the corpus, from its end, that is not trained on but evaluated with; 0 for none. Default 0.05. */
  readonly heldOut?: number;
  /**
   * Default: cosine with a peak of 1e-3. The warm-up, when left out, is that of the run that is resumed, and 2 % of the
   * steps of a new one.
   */
  readonly learningRate?: Omit<LearningRateOptions, 'steps'>;
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
  /** Directory for the log and the checkpoints; without one nothing is written. */
  readonly output?: string;
  /** Goes on from a checkpoint, or from the newest one in a run's directory, as if the run had never stopped. */
  readonly resume?: string;
  /** Steps between evaluations, besides the one at the end; 0 for none. Default 0. */
  readonly evalEvery?: number;
  /** Held-out rows to evaluate with. Default: all. */
  readonly evalRows?: number;
  /** Steps between checkpoints, besides the one at the end; 0 for none. Default 0. */
  readonly saveEvery?: number;
  /** Checkpoints to keep; older ones are deleted. Default 2. */
  readonly keepCheckpoints?: number;
}

/** The parts of the loss beside cross-entropy, as in {@link LinearCrossEntropyOptions}; all 0 by default. */
export type LossTerms = Pick<HeadLossOptions, 'labelSmoothing' | 'zLoss' | 'entropyWeight'>;

/** What decides a run's numbers, as it stands in a checkpoint. A resumed run must have the same. */
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

/**
 * Fills in defaults.
 * @param before the recipe of the run that is resumed
 * @throws INVALID_ARGUMENT naming the option
 */
export function recipeOf(
  options: TrainerOptions,
  { config: model, dtype }: Pick<MtpModel, 'config' | 'dtype'>,
  before?: Recipe,
): Recipe {
  const { labelSmoothing, zLoss, entropyWeight } = options.loss ?? {};
  const steps = checkInteger('trainer: steps', options.steps, 1);
  const learningRate = options.learningRate ?? { schedule: 'cosine', peak: 1e-3 };
  // The warm-up follows from the number of steps once. A run that goes on for longer has it behind it.
  const warmupSteps = before?.learningRate.warmupSteps ?? Math.ceil(steps / 50);
  const recipe: Recipe = {
    model,
    dtype,
    data: options.data.checksum,
    batchSize: checkInteger('trainer: batchSize', options.batchSize ?? 8, 1, MOST_ROWS),
    sequenceLength: checkInteger('trainer: sequenceLength', options.sequenceLength ?? 256, 1),
    accumulation: checkInteger('trainer: accumulation', options.accumulation ?? 1, 1, MOST_ROWS),
    heldOut: checkNumber('trainer: heldOut', options.heldOut ?? 0.05, 0, 1),
    learningRate: { ...learningRate, warmupSteps: learningRate.warmupSteps ?? warmupSteps },
    optimizer: adamwOptions(options.optimizer ?? {}),
    headWeights: options.headWeights ?? { kind: 'constant' },
    curriculum: options.curriculum ?? null,
    loss: {
      labelSmoothing: checkNumber('trainer: labelSmoothing', labelSmoothing ?? 0, 0, 1),
      zLoss: checkNumber('trainer: zLoss', zLoss ?? 0, 0),
      entropyWeight: checkNumber('trainer: entropyWeight', entropyWeight ?? 0, -Infinity),
    },
    seed: checkInteger('trainer: seed', options.seed ?? 0, Number.MIN_SAFE_INTEGER),
  };
  if (recipe.sequenceLength > model.maxPositionEmbeddings) {
    throw new ForetokenError(
      'INVALID_ARGUMENT',
      `trainer: sequenceLength is ${recipe.sequenceLength}, but the model has ${model.maxPositionEmbeddings} positions`,
    );
  }
  const { batchSize, accumulation } = recipe;
  checkRowsFit(
    `trainer: batchSize ${batchSize} and accumulation ${accumulation}`,
    batchSize * accumulation,
    recipe.sequenceLength,
    model.mtp.numHeads,
  );
  return recipe;
}

/** @throws INVALID_ARGUMENT naming every option that is not what it was before */
export function checkSameRecipe(before: Recipe, now: Recipe, checkpoint: string): void {
  // As JSON, because that is how the earlier one was kept.
  const current = JSON.parse(JSON.stringify(now)) as Recipe;
  const different = (Object.keys(current) as (keyof Recipe)[]).filter(
    (name) => !isDeepStrictEqual(before[name], current[name]),
  );
  if (different.length === 0) return;
  const list = different.map((name) =>
    name === 'data'
      ? 'the corpus is another'
      : `${name} was ${JSON.stringify(before[name])} and is ${JSON.stringify(current[name])}`,
  );
  throw new ForetokenError('INVALID_ARGUMENT', `cannot resume from ${checkpoint}: ${list.join('; ')}`);
}
