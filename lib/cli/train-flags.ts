import { headKindNames } from '../heads';
import type { ModelConfig, ModelOptions } from '../model/config';
import type { CurriculumOptions, HeadWeightOptions } from '../train/head-schedule';
import type { TrainerOptions } from '../train/options';
import type { LearningRateOptions } from '../train/schedule';
import { DEVICE_FLAGS, JSON_FLAG, parseNumber, UsageError, type Flags, type Values } from './arguments';

const KINDS = new Intl.ListFormat('en', { type: 'disjunction' });

/** What shapes a new model; not to be given together with --model. */
const MODEL_FLAGS = {
  'hidden-size': { type: 'integer', value: 'N', help: 'width of the model (default 256)' },
  layers: { type: 'integer', option: 'numHiddenLayers', value: 'N', help: 'layers of the trunk (default 4)' },
  'attention-heads': {
    type: 'integer',
    option: 'numAttentionHeads',
    value: 'N',
    help: 'attention heads (default 4)',
  },
  'kv-heads': {
    type: 'integer',
    option: 'numKeyValueHeads',
    value: 'N',
    help: 'key and value heads (default: as many)',
  },
  'intermediate-size': { type: 'integer', value: 'N', help: 'width of the MLPs (default: 8/3 of the model)' },
  'tie-embeddings': {
    type: 'boolean',
    option: 'tieWordEmbeddings',
    help: 'one matrix for embedding and unembedding',
  },
  heads: {
    type: 'integer',
    option: 'mtp.numHeads',
    value: 'N',
    help: 'tokens predicted at once, the next included (default 4)',
  },
  'head-kind': {
    type: 'string',
    option: 'mtp.kind',
    value: 'KIND',
    help: `${KINDS.format(headKindNames())} (default parallel)`,
  },
  tokenizer: {
    type: 'string',
    value: 'DIR',
    help: 'directory of a tokenizer.json, or a run (default: bytes)',
  },
} as const satisfies Flags;

const TRAIN_FLAGS = {
  output: { type: 'string', short: 'o', value: 'DIR', help: 'where the log and the checkpoints go' },
  resume: {
    type: 'boolean',
    help: 'go on from the newest checkpoint in the output directory, if there is one, with its options',
  },
  steps: { type: 'integer', value: 'N', help: 'steps of the whole run (default 1000)' },
  model: { type: 'string', value: 'DIR', help: 'go on training this model, or the newest of a run' },
  ...MODEL_FLAGS,
  'batch-size': { type: 'integer', value: 'N', help: 'rows at a time (default 8)' },
  'sequence-length': { type: 'integer', value: 'N', help: 'tokens in a row (default 256)' },
  accumulation: { type: 'integer', value: 'N', help: 'batches that make one step (default 1)' },
  'learning-rate': {
    type: 'number',
    option: 'peak',
    value: 'X',
    help: 'highest learning rate (default 1e-3)',
  },
  schedule: { type: 'string', value: 'NAME', help: 'cosine, wsd or constant (default cosine)' },
  'warmup-steps': {
    type: 'integer',
    value: 'N',
    help: 'steps of linear warm-up (default: 2 % of all in the beginning)',
  },
  'decay-steps': { type: 'integer', value: 'N', help: 'steps of decay of wsd (default: 10 % of all)' },
  'minimum-ratio': {
    type: 'number',
    value: 'X',
    help: 'last learning rate, relative to the highest (default 0.1)',
  },
  'weight-decay': { type: 'number', value: 'X', help: 'of matrices (default 0.1)' },
  beta1: { type: 'number', value: 'X', help: 'of AdamW (default 0.9)' },
  beta2: { type: 'number', value: 'X', help: 'of AdamW (default 0.95)' },
  eps: { type: 'number', value: 'X', help: 'of AdamW (default 1e-8)' },
  'max-grad-norm': {
    type: 'number',
    value: 'X',
    help: 'clip gradients to this norm, 0 for never (default 1)',
  },
  'head-weights': {
    type: 'string',
    value: 'LIST',
    help: 'W1,W2,… or beta:X or step:AT:BEFORE:AFTER or ramp:STEPS:FROM:TO',
  },
  curriculum: { type: 'string', value: 'KIND:STEPS', help: 'forward or reverse: which heads learn when' },
  'label-smoothing': { type: 'number', value: 'X', help: 'weight of all tokens in the target (default 0)' },
  'z-loss': { type: 'number', value: 'X', help: 'weight of the squared log-partition (default 0)' },
  'entropy-weight': { type: 'number', value: 'X', help: 'weight of the entropy of predictions (default 0)' },
  'held-out': {
    type: 'number',
    value: 'X',
    help: 'part of the text to evaluate with, 0 for none (default 0.05)',
  },
  'eval-every': { type: 'integer', value: 'N', help: 'steps between evaluations (default: at the end)' },
  'eval-rows': { type: 'integer', value: 'N', help: 'rows to evaluate with, 0 for all (default 256)' },
  'save-every': { type: 'integer', value: 'N', help: 'steps between checkpoints (default: by time alone)' },
  'save-every-minutes': {
    type: 'number',
    value: 'X',
    help: 'minutes between checkpoints, 0 for the end only (default 10)',
  },
  keep: { type: 'integer', option: 'keepCheckpoints', value: 'N', help: 'checkpoints to keep (default 2)' },
  seed: { type: 'integer', value: 'N', help: 'of weights and order of rows (default 0)' },
  exclude: { type: 'strings', value: 'GLOB', help: 'files to leave out; may be repeated' },
  'text-field': { type: 'string', value: 'NAME', help: 'field of JSON lines and arrays (default text)' },
  cache: {
    type: 'string',
    option: 'cacheDirectory',
    value: 'DIR',
    help: 'for the tokenized text (default: in the output directory)',
  },
  ...DEVICE_FLAGS,
  ...JSON_FLAG,
} as const satisfies Flags;

export const TRAIN = {
  name: 'train',
  positionals: 'TEXT…',
  summary:
    'Trains a model on files, directories or globs of text. JSON lines and arrays hold a document in each object.',
  example: "foretoken train 'docs/**/*.md' --output runs/first --steps 500 --heads 4",
  flags: TRAIN_FLAGS,
} as const;

export type TrainValues = Values<typeof TRAIN_FLAGS>;

/** The shape of a new model; where flags say nothing, that of `before`. */
export function modelOptions(values: TrainValues, before?: ModelConfig): Omit<ModelOptions, 'vocabSize'> {
  const hiddenSize = values['hidden-size'] ?? before?.hiddenSize ?? 256;
  return {
    // The customary 0.02 suits a width of 2,500, but narrow models hardly learn from it.
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

/** Flags by the names that their values have in a recipe. */
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

/** The flag that a number of a recipe comes from, or the number's own name. */
export function flagOf(name: string): string {
  const flag = FLAGS_OF_RECIPE[name] ?? FLAGS_OF_RECIPE[name.split('.')[0]!];
  return flag ? `--${flag}` : name;
}

/** @throws UsageError when a model's directory is given together with what only a new model takes */
export function checkModelFlags(values: TrainValues): void {
  if (values.model === undefined) return;
  const given = Object.keys(MODEL_FLAGS).find(
    (name) => values[name as keyof typeof MODEL_FLAGS] !== undefined,
  );
  if (given) throw new UsageError(`--${given} is for new models; --model brings its own`);
}

/** Everything else that the trainer needs to know. */
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
