import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ForetokenError } from '../errors';
import { findModel, listCheckpoints, writeModelFiles } from '../model/checkpoint';
import { isJsonObject, readJson, writeDirectoryAtomic, writeFileAtomic } from '../model/files';
import type { MtpModel } from '../model/model';
import type { Tokenizer } from '../model/tokenizer';
import type { OrderState } from './data';
import type { AdamW } from './optimizer';
import type { Recipe } from './options';

// A checkpoint of a run is a model's directory with two files more: the optimizer's running means and this state.
const OPTIMIZER_NAME = 'optimizer.safetensors';
const STATE_NAME = 'trainer_state.json';
const VERSION = 1;

/** Where a training run stands. */
export interface TrainerState {
  readonly version: typeof VERSION;
  /** Steps done. */
  readonly step: number;
  /** Tokens trained on. */
  readonly tokens: number;
  /** Position in the data. */
  readonly order: OrderState;
  readonly recipe: Recipe;
}

/** A state and the directory it was found in. */
export interface SavedState {
  readonly checkpoint: string;
  readonly state: TrainerState;
}

/** What a checkpoint holds beside the state. */
export interface Trained {
  readonly model: MtpModel;
  readonly tokenizer: Tokenizer;
  readonly optimizer: AdamW;
}

/** Publishes `checkpoint-<step>` in `output`, then deletes all but the newest `keep` of them. Returns its path. */
export async function saveCheckpoint(
  output: string,
  { model, tokenizer, optimizer }: Trained,
  state: Omit<TrainerState, 'version'>,
  keep: number,
): Promise<string> {
  const path = join(output, `checkpoint-${state.step}`);
  await writeDirectoryAtomic(path, async (directory) => {
    await writeModelFiles(directory, model, tokenizer);
    await optimizer.save(join(directory, OPTIMIZER_NAME));
    const json = `${JSON.stringify({ version: VERSION, ...state }, null, 2)}\n`;
    await writeFileAtomic(join(directory, STATE_NAME), json);
  });
  const checkpoints = await listCheckpoints(output);
  for (const old of checkpoints.slice(0, -keep)) await rm(old.path, { recursive: true, force: true });
  return path;
}

/**
 * The state of a checkpoint.
 * @param path a checkpoint, or a run's directory, whose newest checkpoint is meant
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
    if (!Number.isSafeInteger(state[name]) || (state[name] as number) < 0) fail(`${name} is not a count`);
  }
  for (const name of ['order', 'recipe'] as const) if (!isJsonObject(state[name])) fail(`${name} is missing`);
  const { learningRate } = state.recipe as Partial<Recipe>;
  if (!isJsonObject(learningRate)) fail('recipe.learningRate is missing');
  // There was no choice once.
  const recipe = { dtype: 'float32', ...(state.recipe as object) };
  return { checkpoint, state: { ...state, recipe } as unknown as TrainerState };
}

/** Fills an optimizer from a checkpoint. */
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

/**
 * Makes sure that a run may write into `output`: nobody's checkpoints are overwritten or thrown away.
 * @param step how far the run is: 0 for a new one
 */
export async function checkOutput(output: string, step: number): Promise<void> {
  const newest = (await listCheckpoints(output)).at(-1);
  if (!newest || newest.step <= step) return;
  const advice =
    step === 0 ? 'resume it, or give another output directory' : 'delete it, or resume from the newest one';
  throw new ForetokenError(
    'INVALID_ARGUMENT',
    `${output}: there is a later checkpoint already, of step ${newest.step}; ${advice}`,
  );
}
