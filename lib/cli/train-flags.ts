import { BUILT_IN_KINDS } from '../heads/names';
import type { ModelConfig, ModelOptions } from '../model/config';
import type { CurriculumOptions, HeadWeightOptions } from '../train/head-schedule';
import type { TrainerOptions } from '../train/options';
import type { LearningRateOptions } from '../train/schedule';
import { parseNumber, UsageError } from './arguments';
import {
  boolean,
  DEVICE_FLAGS,
  integer,
  JSON_FLAG,
  number,
  string,
  strings,
  type Flags,
  type Values,
} from './flags';

const KINDS = new Intl.ListFormat('en', { type: 'disjunction' });

/** Flags of a new model, not allowed together with --model. */
const MODEL_FLAGS = {
  'hidden-size': integer('width of the model (default 256)'),
  layers: integer('layers of the trunk (default 4)', { option: 'numHiddenLayers' }),
  'attention-heads': integer('attention heads (default 4)', { option: 'numAttentionHeads' }),
  'kv-heads': integer('key and value heads (default: as many as attention heads)', {
    option: 'numKeyValueHeads',
  }),
  'intermediate-size': integer('width of the MLPs (default: 8/3 of the hidden size)'),
  'tie-embeddings': boolean('one matrix for embedding and unembedding', { option: 'tieWordEmbeddings' }),
  heads: integer('tokens predicted at once, the next one included (default 4)', { option: 'mtp.numHeads' }),
  'head-kind': string('KIND', `${KINDS.format(BUILT_IN_KINDS)} (default parallel)`, {
    option: 'mtp.kind',
  }),
  tokenizer: string('DIR', 'directory of a tokenizer.json or of a run (default: bytes)'),
} satisfies Flags;

const TRAIN_FLAGS = {
  output: string('DIR', 'directory for the log and the checkpoints', { short: 'o' }),
  resume: boolean(
    'continue from the newest checkpoint in the output directory, if any, with its options; TEXT and its flags are given again',
  ),
  steps: integer('steps of the whole run (default 1000)'),
  model: string('DIR', 'continue training this model, or the newest checkpoint of a run'),
  ...MODEL_FLAGS,
  'batch-size': integer('rows in a batch (default 8)'),
  'sequence-length': integer('tokens in a row (default 256)'),
  accumulation: integer('batches in a step (default 1)'),
  'learning-rate': number('peak learning rate (default 1e-3)', { option: 'peak' }),
  schedule: string('NAME', 'cosine, wsd or constant (default cosine)'),
  'warmup-steps': integer('steps of linear warm-up (default: 2 % of --steps when the run begins)'),
  'decay-steps': integer('steps of decay of wsd (default: 10 % of all)'),
  'minimum-ratio': number('final learning rate as a fraction of the peak (default 0.1)'),
  'weight-decay': number('weight decay of matrices (default 0.1)'),
  beta1: number('AdamW: decay of the mean gradient (default 0.9)'),
  beta2: number('AdamW: decay of the mean squared gradient (default 0.95)'),
  eps: number('AdamW: added to the denominator of the update (default 1e-8)'),
  'max-grad-norm': number('clip gradients to this norm, 0 to switch clipping off (default 1)'),
  'head-weights': string('LIST', 'W1,W2,… or beta:X or step:AT:BEFORE:AFTER or ramp:STEPS:FROM:TO'),
  curriculum: string('KIND:STEPS', 'forward or reverse: which heads learn at which step'),
  'label-smoothing': number('part of the target that is spread over all tokens (default 0)'),
  'z-loss': number('weight of the squared log-partition (default 0)'),
  'entropy-weight': number('weight of the entropy of predictions (default 0)'),
  'held-out': number('fraction of the text held out for evaluation, 0 for none (default 0.05)'),
  'eval-every': integer('steps between evaluations (default: only at the end)'),
  'eval-rows': integer('held-out rows to evaluate, 0 for all (default 256)'),
  'save-every': integer('steps between checkpoints (default: by time alone)'),
  'save-every-minutes': number('minutes between checkpoints, 0 to save by steps alone (default 10)'),
  keep: integer('checkpoints to keep (default 2)', { option: 'keepCheckpoints' }),
  seed: integer('seed of the weights and of the order of rows (default 0)'),
  exclude: strings('GLOB', 'files to exclude; may be repeated'),
  'split-special-tokens': boolean(
    'take special tokens written in the text, as <|endoftext|>, for plain text',
  ),
  'text-field': string('NAME', 'field that holds the text in JSON lines and arrays (default text)'),
  cache: string('DIR', 'directory for the tokenized text (default: in the output directory)', {
    option: 'cacheDirectory',
  }),
  ...DEVICE_FLAGS,
  ...JSON_FLAG,
} satisfies Flags;

export const TRAIN = {
  name: 'train',
  positionals: 'TEXT…',
  summary:
    'Trains a model on files, directories or globs of text. JSON lines and arrays hold a document in each object.',
  example: "foretoken train 'docs/**/*.md' --output runs/first --steps 500 --heads 4",
  flags: TRAIN_FLAGS,
} as const;

export type TrainValues = Values<typeof TRAIN_FLAGS>;

/** The shape of a new model; what the flags leave open is taken from `before`. */
export function modelOptions(values: TrainValues, before?: ModelConfig): Omit<ModelOptions, 'vocabSize'> {
  const hiddenSize = values['hidden-size'] ?? before?.hiddenSize ?? 256;
  return {
    // The customary 0.02 suits a width of 2,500; narrow models hardly learn from it.
    initializerRange: 1 / Math.sqrt(hiddenSize),
    ...before,
    hiddenSize,
    numHiddenLayers: values.layers ?? before?.numHiddenLayers ?? 4,
    numAttentionHeads: values['attention-heads'] ?? before?.numAttentionHeads ?? 4,
    numKeyValueHeads: values['kv-heads'] ?? before?.numKeyValueHeads,
    intermediateSize: values['intermediate-size'] ?? before?.intermediateSize,
    tieWordEmbeddings: values['tie-embeddings'] ?? before?.tieWordEmbeddings,
    maxPositionEmbeddings: before?.maxPositionEmbeddings ?? Math.max(2048, values['sequence-length'] ?? 0),
    mtp: {
      kind: values['head-kind'] ?? before?.mtp.kind ?? 'parallel',
      numHeads: values.heads ?? before?.mtp.numHeads ?? 4,
    },
  };
}

/** Flags by the names of their values in a recipe. */
const FLAGS_OF_RECIPE: Readonly<Record<string, keyof typeof TRAIN_FLAGS>> = {
  'model.hiddenSize': 'hidden-size',
  'model.numHiddenLayers': 'layers',
  'model.numAttentionHeads': 'attention-heads',
  'model.numKeyValueHeads': 'kv-heads',
  'model.intermediateSize': 'intermediate-size',
  'model.tieWordEmbeddings': 'tie-embeddings',
  'model.mtp.kind': 'head-kind',
  'model.mtp.numHeads': 'heads',
  batchSize: 'batch-size',
  sequenceLength: 'sequence-length',
  accumulation: 'accumulation',
  heldOut: 'held-out',
  'optimizer.weightDecay': 'weight-decay',
  'optimizer.beta1': 'beta1',
  'optimizer.beta2': 'beta2',
  'optimizer.eps': 'eps',
  'optimizer.maxGradNorm': 'max-grad-norm',
  headWeights: 'head-weights',
  curriculum: 'curriculum',
  'loss.labelSmoothing': 'label-smoothing',
  'loss.zLoss': 'z-loss',
  'loss.entropyWeight': 'entropy-weight',
  seed: 'seed',
  dtype: 'dtype',
};

/** Returns the flag that sets a value of a recipe, or the value's own name. */
export function flagOf(name: string): string {
  const flag = FLAGS_OF_RECIPE[name] ?? FLAGS_OF_RECIPE[name.split('.')[0]!];
  return flag ? `--${flag}` : name;
}

/** @throws UsageError if --model is given together with a flag of new models */
export function checkModelFlags(values: TrainValues): void {
  if (values.model === undefined) return;
  const given = Object.keys(MODEL_FLAGS).find(
    (name) => values[name as keyof typeof MODEL_FLAGS] !== undefined,
  );
  if (given) throw new UsageError(`--${given} is for new models; the model of --model has its own`);
}

/** Options of the trainer, except device, model and text. */
export function trainingOptions(
  values: TrainValues,
): Omit<TrainerOptions, 'device' | 'model' | 'tokenizer' | 'data'> {
  return {
    steps: values.steps,
    batchSize: values['batch-size'],
    sequenceLength: values['sequence-length'],
    accumulation: values.accumulation,
    heldOut: values['held-out'],
    learningRate: {
      schedule: values.schedule as LearningRateOptions['schedule'] | undefined,
      peak: values['learning-rate'],
      warmupSteps: values['warmup-steps'],
      decaySteps: values['decay-steps'],
      minimumRatio: values['minimum-ratio'],
    },
    optimizer: {
      beta1: values.beta1,
      beta2: values.beta2,
      eps: values.eps,
      weightDecay: values['weight-decay'],
      maxGradNorm: values['max-grad-norm'],
    },
    headWeights: values['head-weights'] === undefined ? undefined : parseHeadWeights(values['head-weights']),
    curriculum: values.curriculum === undefined ? undefined : parseCurriculum(values.curriculum),
    loss: {
      labelSmoothing: values['label-smoothing'],
      zLoss: values['z-loss'],
      entropyWeight: values['entropy-weight'],
    },
    seed: values.seed,
    evalEvery: values['eval-every'],
    evalRows: values['eval-rows'],
    saveEvery: values['save-every'],
    saveEveryMinutes: values['save-every-minutes'],
    keepCheckpoints: values.keep,
  };
}

/** `1,0.5,0.25`, `beta:0.8`, `step:1000:0:1` or `ramp:1000:0:1`. */
export function parseHeadWeights(text: string): HeadWeightOptions {
  const [kind, ...rest] = text.split(':');
  const numbers = (rest.length > 0 ? rest : text.split(',')).map(parseNumber);
  if (!numbers.includes(undefined)) {
    const [a, b, c] = numbers as number[];
    if (rest.length === 0) return { kind: 'constant', weights: numbers as number[] };
    if (kind === 'beta' && rest.length === 1) return { kind, beta: a! };
    if (kind === 'step' && rest.length === 3) return { kind, at: a!, before: b!, after: c! };
    if (kind === 'ramp' && rest.length === 3) return { kind, steps: a!, from: b!, to: c! };
  }
  throw new UsageError(
    `--head-weights must be like 1,0.5,0.25 or beta:0.8 or step:1000:0:1 or ramp:1000:0:1, but is '${text}'`,
  );
}

/** `forward:1000` or `reverse:1000`. */
export function parseCurriculum(text: string): CurriculumOptions {
  const [kind, steps, ...rest] = text.split(':');
  const count = parseNumber(steps ?? '');
  if ((kind === 'forward' || kind === 'reverse') && count !== undefined && rest.length === 0) {
    return { kind, steps: count };
  }
  throw new UsageError(`--curriculum must be like forward:1000 or reverse:1000, but is '${text}'`);
}
