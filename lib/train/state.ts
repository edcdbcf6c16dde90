import { join } from 'node:path';
import { checkInteger } from '../check';
import { ForetokenError } from '../errors';
import { findModel, OPTIMIZER_NAME, STATE_NAME, writeModelFiles } from '../model/checkpoint';
import { modelConfig } from '../model/config';
import { isJsonObject, readJson, writeFileAtomic } from '../files';
import type { MtpModel } from '../model/model';
import type { Tokenizer } from '../model/tokenizer';
import type { OrderState } from './data';
import type { AdamW } from './optimizer';
import type { Recipe, RunSettings } from './options';

// A checkpoint of a run is a model's directory with two more files: the optimizer's running means and this state.
const VERSION = 1;

/** State of a training run. */
export interface TrainerState {
  readonly version: typeof VERSION;
  /** Steps done. */
  readonly step: number;
  /** Tokens trained on. */
  readonly tokens: number;
  /** Position in the data. */
  readonly order: OrderState;
  readonly recipe: Recipe;
  /** Undefined in checkpoints of earlier versions. */
  readonly settings?: RunSettings;
}

/** A state and its checkpoint's directory. */
export interface SavedState {
  readonly checkpoint: string;
  readonly state: TrainerState;
}

/** Contents of a checkpoint beside the state. */
export interface Trained {
  readonly model: MtpModel;
  readonly tokenizer: Tokenizer;
  readonly optimizer: AdamW;
}

/** Writes the files of a checkpoint into a directory. */
export async function writeCheckpointFiles(
  directory: string,
  { model, tokenizer, optimizer }: Trained,
  state: Omit<TrainerState, 'version'>,
): Promise<void> {
  await writeModelFiles(directory, model, tokenizer);
  await optimizer.save(join(directory, OPTIMIZER_NAME));
  const json = `${JSON.stringify({ version: VERSION, ...state }, null, 2)}\n`;
  await writeFileAtomic(join(directory, STATE_NAME), json);
}

/**
 * Reads the state of a checkpoint.
 * @param path a checkpoint, or a run's directory for its newest checkpoint
 * @throws FILE_ACCESS or CORRUPT_FILE naming the file
 */
export async function readState(path: string): Promise<SavedState> {
  const checkpoint = await findModel(path);
  const file = join(checkpoint, STATE_NAME);
  const state = await readJson(file);
  const fail = (problem: string): never => {
    throw new ForetokenError('CORRUPT_FILE', `${file}: ${problem}`);
  };
  if (!isJsonObject(state)) return fail('not a JSON object');
  if (state.version !== VERSION) {
    fail(`version ${JSON.stringify(state.version)} of the format; this package reads ${VERSION}`);
  }
  for (const name of ['step', 'tokens'] as const) {
    checkInteger(`${file}: ${name}`, state[name], 0, undefined, 'CORRUPT_FILE');
  }
  for (const name of ['order', 'recipe'] as const) if (!isJsonObject(state[name])) fail(`${name} is missing`);
  const recipe = state.recipe as Recipe;
  for (const name of ['learningRate', 'model'] as const) {
    if (!isJsonObject(recipe[name])) fail(`recipe.${name} is missing`);
  }
  // Checkpoints of earlier versions have no dtype, and fewer fields in the model's configuration.
  const complete = { ...recipe, dtype: recipe.dtype ?? 'float32', model: modelConfig(recipe.model) };
  return { checkpoint, state: { ...state, recipe: complete } as unknown as TrainerState };
}

/** Loads the optimizer of a checkpoint. */
export async function loadOptimizer(
  optimizer: AdamW,
  checkpoint: string,
  state: TrainerState,
): Promise<void> {
  const path = join(checkpoint, OPTIMIZER_NAME);
  await optimizer.load(path);
  if (optimizer.step !== state.step) {
    const problem = `it is of step ${optimizer.step}, but ${STATE_NAME} of step ${state.step}`;
    throw new ForetokenError('CORRUPT_FILE', `${path}: ${problem}`);
  }
}
