import { isDeepStrictEqual } from 'node:util';
import { checkInteger, checkNumber } from '../check';
import { ForetokenError } from '../errors';
import { modelConfig, type ModelConfig } from '../model/config';
import { isJsonObject } from '../files';
import { MtpModel } from '../model/model';
import { checkRowsFit, MOST_ROWS } from './data';
import { headCurriculum, headWeightSchedule } from './head-schedule';
import { adamwOptions } from './optimizer';
import type { Recipe, RunSettings, TrainerOptions } from './options';
import { learningRateSchedule } from './schedule';
import type { SavedState, TrainerState } from './state';

/** Checked options of a run, without its corpus: they are checked before the corpus is tokenized. */
export interface Plan {
  readonly recipe: Omit<Recipe, 'data'>;
  readonly settings: RunSettings;
  /** Learning rate of a step, counted from 0. */
  readonly learningRate: (step: number) => number;
  /** Weight of each head's loss in a step, counted from 0. */
  readonly headWeights: (step: number) => number[];
}

/**
 * Fills in missing options, from the checkpoint of a resumed run and from defaults, and checks all of them.
 * @throws INVALID_ARGUMENT naming the option, or every option that differs from the run's
 */
export function planOf(options: TrainerOptions, resumed?: SavedState): Plan {
  const before = resumed?.state;
  const settings = settingsOf(options, before);
  const recipe = recipeOf(options, settings, before?.recipe);
  if (resumed) checkSame(withoutData(resumed.state.recipe), recipe, resumed.checkpoint);
  const heads = recipe.model.mtp.numHeads;
  const weights = headWeightSchedule(heads, recipe.headWeights);
  const active = recipe.curriculum ? headCurriculum(heads, recipe.curriculum) : () => heads;
  if (recipe.curriculum && weights(0)[0] === 0) {
    const problem = 'a curriculum has steps that train head 1 alone, but head 1 has weight 0';
    throw new ForetokenError('INVALID_ARGUMENT', `head weights: ${problem}`);
  }
  // A resumed run may be given fewer steps than it has done, and then does none, or fewer than its warm-up.
  const steps = Math.max(settings.steps, before?.step ?? 0);
  const warmupSteps = before
    ? Math.min(steps, recipe.learningRate.warmupSteps!)
    : recipe.learningRate.warmupSteps;
  return {
    recipe,
    settings,
    learningRate: learningRateSchedule({ ...recipe.learningRate, warmupSteps, steps }),
    headWeights: (step) => weights(step).map((weight, i) => (i < active(step) ? weight : 0)),
  };
}

function settingsOf(options: TrainerOptions, before?: TrainerState): RunSettings {
  const defaults = { evalEvery: 0, evalRows: 256, saveEvery: 0, saveEveryMinutes: 10, keepCheckpoints: 2 };
  const given = { ...defaults, ...before?.settings, ...defined(options) };
  if (given.steps === undefined) {
    throw new ForetokenError(
      'INVALID_ARGUMENT',
      'trainer: steps is missing; give the steps of the whole run',
    );
  }
  return {
    steps: checkInteger('trainer: steps', given.steps, 1),
    evalEvery: checkInteger('trainer: evalEvery', given.evalEvery, 0),
    evalRows: checkInteger('trainer: evalRows', given.evalRows, 0),
    saveEvery: checkInteger('trainer: saveEvery', given.saveEvery, 0),
    saveEveryMinutes: checkNumber('trainer: saveEveryMinutes', given.saveEveryMinutes, 0),
    keepCheckpoints: checkInteger('trainer: keepCheckpoints', given.keepCheckpoints, 1),
  };
}

function recipeOf(options: TrainerOptions, { steps }: RunSettings, before?: Recipe): Plan['recipe'] {
  const given = { ...before, ...defined(options) };
  const loss = { labelSmoothing: 0, zLoss: 0, entropyWeight: 0, ...before?.loss, ...defined(options.loss) };
  const model = configOf(options, before);
  const learningRate = {
    schedule: 'cosine' as const,
    peak: 1e-3,
    // Computed when the run begins: a longer resumed run keeps its warm-up.
    warmupSteps: Math.ceil(steps / 50),
    ...before?.learningRate,
    ...defined(options.learningRate),
  };
  const recipe = {
    model,
    dtype: options.model instanceof MtpModel ? options.model.dtype : (given.dtype ?? 'float32'),
    batchSize: checkInteger('trainer: batchSize', given.batchSize ?? 8, 1, MOST_ROWS),
    sequenceLength: checkInteger('trainer: sequenceLength', given.sequenceLength ?? 256, 1),
    accumulation: checkInteger('trainer: accumulation', given.accumulation ?? 1, 1, MOST_ROWS),
    heldOut: checkNumber('trainer: heldOut', given.heldOut ?? 0.05, 0, 1),
    learningRate,
    optimizer: adamwOptions({ ...before?.optimizer, ...defined(options.optimizer) }),
    headWeights: given.headWeights ?? { kind: 'constant' as const },
    curriculum: given.curriculum ?? null,
    loss: {
      labelSmoothing: checkNumber('trainer: labelSmoothing', loss.labelSmoothing, 0, 1),
      zLoss: checkNumber('trainer: zLoss', loss.zLoss, 0),
      entropyWeight: checkNumber('trainer: entropyWeight', loss.entropyWeight, -Infinity),
    },
    seed: checkInteger('trainer: seed', given.seed ?? 0, Number.MIN_SAFE_INTEGER),
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

function configOf({ model, tokenizer }: TrainerOptions, before?: Recipe): ModelConfig {
  if (model instanceof MtpModel) return model.config;
  if (model) {
    return modelConfig({
      vocabSize: tokenizer.vocabSize,
      bosTokenId: tokenizer.bosId ?? null,
      eosTokenIds: tokenizer.eosId === undefined ? [] : [tokenizer.eosId],
      ...model,
    });
  }
  if (before) return before.model;
  throw new ForetokenError(
    'INVALID_ARGUMENT',
    'trainer: model is missing; give one, or the options of a new one',
  );
}

/** A value of a recipe that differs from the run's. */
export interface Difference {
  /** Path in {@link Recipe}, with dots. */
  readonly name: string;
  readonly before: unknown;
  readonly now: unknown;
}

/** Thrown when the options of a resumed run differ from its recipe. */
export class RecipeError extends ForetokenError {
  constructor(
    readonly checkpoint: string,
    readonly differences: readonly Difference[],
    nameOf = (name: string): string => name,
  ) {
    const list = differences.map(
      ({ name, before, now }) => `${nameOf(name)} was ${show(before)} and is ${show(now)}`,
    );
    super('INVALID_ARGUMENT', `cannot resume from ${checkpoint}: ${list.join('; ')}`);
  }
}

/** @throws RecipeError naming every value of a resumed run's recipe that differs, except the learning rate */
function checkSame(before: Plan['recipe'], now: Plan['recipe'], checkpoint: string): void {
  // Convert to JSON and back, as the saved recipe was.
  const current = JSON.parse(JSON.stringify(now)) as Plan['recipe'];
  const different = differences({ ...before, learningRate: null }, { ...current, learningRate: null });
  if (different.length > 0) throw new RecipeError(checkpoint, different);
}

/** Lists the values in which two JSON values differ, through all nested objects. */
function differences(before: unknown, now: unknown, name = ''): Difference[] {
  if (isJsonObject(before) && isJsonObject(now)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(now)])];
    return keys.flatMap((key) => differences(before[key], now[key], name ? `${name}.${key}` : key));
  }
  if (isDeepStrictEqual(before, now)) return [];
  return [{ name, before, now }];
}

function withoutData({ data: _, ...recipe }: Recipe): Plan['recipe'] {
  return recipe;
}

/** Returns the fields that are not undefined. */
function defined<T extends object>(fields: T | undefined): Partial<T> {
  return Object.fromEntries(
    Object.entries(fields ?? {}).filter(([, value]) => value !== undefined),
  ) as Partial<T>;
}

function show(value: unknown): string {
  return value === undefined || value === null ? 'not given' : JSON.stringify(value);
}
