import {
  arrayOf,
  callback,
  checkOptions,
  either,
  instance,
  integer,
  number,
  object,
  oneOf,
  path,
  required,
  signal,
  variants,
  type Schema,
} from '../check';
import { MODEL_OPTIONS, type ModelOptions } from '../model/config';
import { MtpModel } from '../model/model';
import { TOKENIZER } from '../model/tokenizer';
import { activationDType, device } from '../tensor/checks';
import { MOST_ROWS, TokenFile } from './data';
import type { CurriculumOptions, HeadWeightOptions } from './head-schedule';
import type { AdamWOptions } from './optimizer';
import type { LossTerms, TrainerOptions } from './options';
import type { RunOptions } from './run';

const count = integer(0);
const positive = integer(1);
/** Operations compute with these numbers in float32 and refuse larger ones. */
const LARGEST = 1e29;
const weight = number(0, LARGEST);
const anyNumber = number(-LARGEST, LARGEST);

const NEW_MODEL: Schema<Omit<ModelOptions, 'vocabSize'> & { vocabSize?: number }> = {
  ...MODEL_OPTIONS,
  vocabSize: integer(1),
};

/** Checks the types; the parts of a run check the rest, such as the schedule its warm-up. */
const TRAINER_OPTIONS: Schema<TrainerOptions> = {
  device: required(device),
  model: either<[MtpModel, Omit<ModelOptions, 'vocabSize'>]>(instance(MtpModel), object(NEW_MODEL)),
  dtype: activationDType,
  tokenizer: required(TOKENIZER),
  data: required(either<[TokenFile, () => Promise<TokenFile>]>(instance(TokenFile), callback)),
  steps: positive,
  batchSize: integer(1, MOST_ROWS),
  sequenceLength: positive,
  accumulation: integer(1, MOST_ROWS),
  heldOut: number(0, 1),
  learningRate: object<NonNullable<TrainerOptions['learningRate']>>({
    schedule: oneOf('cosine', 'wsd', 'constant'),
    peak: weight,
    warmupSteps: count,
    decaySteps: count,
    minimumRatio: number(0, 1),
  }),
  optimizer: object<AdamWOptions>({
    beta1: number(0, 1),
    beta2: number(0, 1),
    eps: weight,
    weightDecay: weight,
    maxGradNorm: weight,
  }),
  headWeights: variants<HeadWeightOptions, 'kind'>('kind', {
    constant: { weights: arrayOf(weight) },
    beta: { beta: required(weight) },
    step: { at: required(count), before: required(weight), after: required(weight) },
    ramp: { steps: required(positive), from: required(weight), to: required(weight) },
  }),
  curriculum: object<CurriculumOptions>({
    kind: required(oneOf('forward', 'reverse')),
    steps: required(positive),
  }),
  loss: object<LossTerms>({ labelSmoothing: number(0, 1), zLoss: weight, entropyWeight: anyNumber }),
  seed: integer(Number.MIN_SAFE_INTEGER),
  output: path,
  resume: path,
  evalEvery: count,
  evalRows: count,
  saveEvery: count,
  saveEveryMinutes: weight,
  keepCheckpoints: positive,
};

const RUN_OPTIONS: Schema<RunOptions> = {
  signal,
  onStep: callback,
  onEvaluationProgress: callback,
  onEvaluation: callback,
  onCheckpoint: callback,
  onWarning: callback,
};

/** @throws ForetokenError INVALID_ARGUMENT naming the option, what was given and what is allowed */
export function checkTrainerOptions(options: TrainerOptions): TrainerOptions {
  return checkOptions('Trainer.create', options, TRAINER_OPTIONS);
}

/** @throws ForetokenError INVALID_ARGUMENT naming the option, what was given and what is allowed */
export function checkRunOptions(options: RunOptions): RunOptions {
  return checkOptions('Trainer.run', options, RUN_OPTIONS);
}
