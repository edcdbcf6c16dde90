import { rm } from 'node:fs/promises';
import { isAbsolute, join, relative, resolve } from 'node:path';
import { escapePath } from 'tinyglobby';
import { listCheckpoints } from '../model/checkpoint';
import type { MtpModel } from '../model/model';
import { byteTokenizerFiles, createTokenizer, type Tokenizer } from '../model/tokenizer';
import type { ActivationDType } from '../tensor/types';
import { prepareCorpus, supersededTokenFiles, type CorpusProgress, type TokenFile } from '../train/data';
import { RecipeError } from '../train/plan';
import { Progress } from './progress';
import { describeCorpus, StatusLine } from './status-line';
import type { RunResult } from '../train/run';
import { readState, type SavedState } from '../train/state';
import { Trainer } from '../train/trainer';
import { checkTexts, required, UsageError, type Parsed } from './arguments';
import { describeEvaluation, summarizeEvaluation } from './evaluation';
import { openCommandDevice, type Computing } from './open-device';
import { openCommandModel, openCommandTokenizer } from './open-model';
import { interruptible } from './signals';
import {
  checkModelFlags,
  flagOf,
  modelOptions,
  trainingOptions,
  type TRAIN,
  type TrainValues,
} from './train-flags';

export async function trainCommand({
  values,
  positionals: patterns,
}: Parsed<typeof TRAIN.flags>): Promise<number> {
  if (values.resume) await refuseRuns(patterns);
  const output = required('output', values.output);
  checkTexts(patterns, 'train on');
  checkModelFlags(values);
  refuseTextIn(output, patterns);
  const resumed = values.resume ? await newestState(output) : undefined;
  using computing = openCommandDevice(values, { masters: true });
  if (resumed && values.model !== undefined) {
    console.error(`--model ${values.model} is ignored: the run goes on from ${resumed.checkpoint}`);
  }
  const { model, tokenizer } = await startingPoint(computing, values, resumed);
  const cacheDirectory = values.cache ?? join(output, 'corpus');
  const status = new StatusLine(process.stderr);
  let data: TokenFile | undefined;
  const prepare = async (signal: AbortSignal): Promise<TokenFile> => {
    // The output directory changes during a run: with it in the corpus, no resumed run would have the same corpus.
    const exclude = [...(values.exclude ?? []), escapePath(resolve(output))];
    const corpus = {
      patterns,
      exclude,
      textField: values['text-field'],
      splitSpecialTokens: values['split-special-tokens'],
      tokenizer,
      cacheDirectory,
    };
    const onProgress = (progress: CorpusProgress): void => status.update(describeCorpus(progress));
    try {
      return (data = await prepareCorpus({ ...corpus, signal, onProgress }));
    } finally {
      status.clear();
    }
  };
  let finished = false;
  let saved = resumed?.checkpoint;
  const work = async (signal: AbortSignal): Promise<void> => {
    try {
      using trainer = await Trainer.create({
        ...trainingOptions(values),
        // Checkpoints of earlier versions have no settings, and so no number of steps.
        steps: values.steps ?? resumed?.state.settings?.steps ?? 1000,
        device: computing.device,
        // openCommandDevice has refused types that cannot be trained in.
        dtype: computing.dtype as ActivationDType | undefined,
        ...{ tokenizer, output, data: () => prepare(signal), resume: resumed?.checkpoint },
        model: model ?? modelOptions(values, resumed?.state.recipe.model),
      });
      // The run's own cache keeps only its current corpus.
      const superseded = values.cache === undefined ? await supersededTokenFiles(data!.path) : [];
      for (const path of superseded) await rm(path, { force: true });
      finished = await run(trainer, data!, values, signal, (path) => (saved = path));
    } catch (error) {
      if (!(error instanceof RecipeError)) throw error;
      throw new RecipeError(error.checkpoint, error.differences, flagOf);
    } finally {
      model?.dispose();
      await data?.close();
    }
  };
  const exitCode = await interruptible(work, () =>
    saved === undefined
      ? 'stopped at once: nothing was saved; begin again'
      : `stopped at once: ${saved} is kept; go on with --resume`,
  );
  // A signal that arrived after the last step has stopped nothing.
  return finished ? 0 : exitCode;
}

/** @throws UsageError if the text is a run's directory, which the user probably means to resume */
async function refuseRuns(patterns: readonly string[]): Promise<void> {
  for (const path of patterns) {
    const isRun = await readState(path).then(
      () => true,
      () => false,
    );
    if (isRun) {
      const advice = `it goes on from the newest checkpoint in --output; ${path} would be text to train on`;
      throw new UsageError(`--resume takes no path: ${advice}`);
    }
  }
}

/** @throws UsageError if text lies in the output directory, which is excluded from the corpus */
function refuseTextIn(output: string, patterns: readonly string[]): void {
  const inside = patterns.find((pattern) => {
    const path = relative(resolve(output), resolve(pattern));
    return path.split('/')[0] !== '..' && !isAbsolute(path);
  });
  if (inside === undefined) return;
  throw new UsageError(`--output ${output} holds the text ${inside}: give a directory without it`);
}

/** Reads the newest checkpoint's state; undefined if there is none yet, and the run begins. */
async function newestState(output: string): Promise<SavedState | undefined> {
  if ((await listCheckpoints(output)).length > 0) return readState(output);
  console.error(`there is no checkpoint in ${output} yet: the run begins`);
  return undefined;
}

/** Opens the tokenizer, and the model that --model names. A resumed run has both in its checkpoint. */
async function startingPoint(
  computing: Computing,
  { model, tokenizer }: TrainValues,
  resumed?: SavedState,
): Promise<{ model?: MtpModel; tokenizer: Tokenizer }> {
  if (tokenizer !== undefined) return { tokenizer: await openCommandTokenizer(tokenizer) };
  if (resumed) return { tokenizer: await openCommandTokenizer(resumed.checkpoint) };
  if (model !== undefined) return openCommandModel(computing, model, { masters: true });
  return { tokenizer: createTokenizer(byteTokenizerFiles()) };
}

/**
 * Trains and shows progress.
 * @param onSaved called with the path of every checkpoint
 * @returns whether the run is complete
 */
async function run(
  trainer: Trainer,
  data: TokenFile,
  values: TrainValues,
  signal: AbortSignal,
  onSaved: (path: string) => void,
): Promise<boolean> {
  const { model, step, settings } = trainer;
  const { steps } = settings;
  const progress = new Progress(steps, process.stderr, step);
  if (step < steps) {
    progress.note(
      `${model.parameters.size} parameters, ${model.numHeads} heads, ${model.device.name}; ` +
        `${data.length} tokens in ${data.documentCount} documents${step > 0 ? `; from step ${step} on` : ''}`,
    );
  }
  const result = await trainer.run({
    signal,
    onStep: (done) => progress.update(done),
    onEvaluationProgress: (done) => progress.evaluating(done),
    onEvaluation: (evaluation, at) => progress.note(`step ${at}: ${summarizeEvaluation(evaluation)}`),
    onCheckpoint: (path) => {
      onSaved(path);
      progress.note(`saved ${path}`);
    },
    onWarning: (message) => progress.note(`warning: ${message}`),
  });
  progress.finish();
  const { completed, evaluation } = result;
  const evaluates = step < steps && trainer.recipe.heldOut > 0;
  const unfinished = !completed || (evaluates && evaluation === null);
  if (values.json) {
    console.log(JSON.stringify({ ...result, tokens: trainer.tokens }));
  } else {
    if (evaluation) console.log(describeEvaluation(evaluation));
    console.log(describe(result, step, steps, unfinished));
  }
  return !unfinished;
}

/** Describes the outcome of a run on one line. */
function describe(
  { step, completed, checkpoint }: RunResult,
  from: number,
  steps: number,
  unfinished: boolean,
): string {
  if (!completed) return `stopped after step ${step}: ${checkpoint ?? 'nothing saved'}; go on with --resume`;
  if (from >= steps) {
    const asked = from > steps ? `; --steps is ${steps}` : '';
    return `nothing left to do: the run has done its ${from} steps${asked}: ${checkpoint}`;
  }
  return `trained ${steps} steps: ${checkpoint}${unfinished ? '; the evaluation was stopped' : ''}`;
}
