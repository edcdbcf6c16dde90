import { ForetokenError } from '../errors';
import type { Evaluation } from './evaluate';
import type { LogEntry, TrainingLog } from './log';
import type { RunSettings } from './options';
import type { Checkpoint, RunDirectory } from './run-directory';

/** Results of one training step. */
export interface StepResult {
  /** Steps done, this one included. */
  readonly step: number;
  /** The minimised loss: the weighted sum over the heads, with z-loss, label smoothing and entropy term. */
  readonly loss: number;
  /** Mean of -log p(token) of each head in nats, without these terms; null for heads that did not learn in this step. */
  readonly headLosses: readonly (number | null)[];
  /** The learning rate of this step. */
  readonly learningRate: number;
  /** Global norm of the gradient before clipping. */
  readonly gradientNorm: number;
  /** Tokens trained on in this step. */
  readonly tokens: number;
  /** Wall-clock time, with the reading of the rows. */
  readonly seconds: number;
}

/** Options to stop and follow {@link Trainer.run}. */
export interface RunOptions {
  /** When aborted, the run finishes its step and saves a checkpoint, or stops its evaluation. */
  readonly signal?: AbortSignal;
  /** Called after every step. */
  readonly onStep?: (result: StepResult) => void;
  /** Called after every batch of an evaluation. */
  readonly onEvaluationProgress?: (done: EvaluationProgress) => void;
  /** Called after every evaluation, with the number of steps done. */
  readonly onEvaluation?: (evaluation: Evaluation, step: number) => void;
  /** Called after every checkpoint, with its directory and the number of steps done. */
  readonly onCheckpoint?: (path: string, step: number) => void;
  /**
   * Called with problems that do not end the run: a line of the log or a checkpoint that could not be written. Default:
   * `process.emitWarning`.
   */
  readonly onWarning?: (message: string) => void;
}

/** Progress of an evaluation. */
export interface EvaluationProgress {
  /** Rows done. */
  readonly rows: number;
  /** Rows in all. */
  readonly of: number;
}

/** Result of {@link Trainer.run}. */
export interface RunResult {
  /** Steps done in all. */
  readonly step: number;
  /** False when the run was aborted before its last step. */
  readonly completed: boolean;
  /** The last checkpoint; null without one. */
  readonly checkpoint: string | null;
  /** The evaluation at the end of a completed run; null if nothing is held out or the evaluation was aborted. */
  readonly evaluation: Evaluation | null;
}

/** The tasks of a run. Steps, evaluations and checkpoints run one at a time. */
export interface Work {
  /** Steps done. */
  step(): number;
  trainStep(): Promise<StepResult>;
  /** Null when nothing is held out. */
  readonly evaluate: ((run: RunOptions) => Promise<Evaluation>) | null;
  save(): Promise<Checkpoint>;
  /** Marks the current weights, and the checkpoint that holds them, as diverged. */
  diverged(problem: string): Promise<never>;
}

/** Minutes from a failed checkpoint to the next attempt. */
const RETRY_MINUTES = 1;

/** The loop of a run: steps, checkpoints and evaluations, until all steps are done or the signal is aborted. */
export class Run {
  #evaluation: Evaluation | null = null;
  #nextSave: number;
  #logFails = false;

  constructor(
    private readonly work: Work,
    private readonly settings: RunSettings,
    private readonly directory: RunDirectory | null,
    private readonly log: TrainingLog | null,
    private readonly options: RunOptions,
    private readonly warn: (message: string) => void,
  ) {
    this.#nextSave = this.#minutesFromNow(settings.saveEveryMinutes);
  }

  /** Runs to the end. Returns the evaluation after the last step, if any. */
  async toEnd(): Promise<Evaluation | null> {
    const { work, settings, options } = this;
    while (work.step() < settings.steps && !options.signal?.aborted) {
      const result = await work.trainStep();
      this.#write({ ...result });
      options.onStep?.(result);
      const last = work.step() === settings.steps;
      const evaluates = work.evaluate !== null && (last || isDue(work.step(), settings.evalEvery));
      // Save before evaluating, so that no failure of the evaluation costs steps.
      if (last || options.signal?.aborted) await this.#save();
      else if (evaluates || isDue(work.step(), settings.saveEvery) || performance.now() >= this.#nextSave) {
        await this.#trySave();
      }
      if (evaluates) await this.#evaluate();
    }
    return this.#evaluation;
  }

  async #save(): Promise<void> {
    if (!this.directory) return;
    const { path, step } = await this.work.save();
    this.#nextSave = this.#minutesFromNow(this.settings.saveEveryMinutes);
    this.options.onCheckpoint?.(path, step);
  }

  /** Saves a checkpoint; a failure is a warning, because a later attempt may succeed. */
  async #trySave(): Promise<void> {
    try {
      await this.#save();
    } catch (error) {
      if (!(error instanceof ForetokenError) || error.code !== 'FILE_ACCESS') throw error;
      this.#nextSave = this.#minutesFromNow(RETRY_MINUTES);
      const kept = this.directory?.newest;
      this.warn(
        `no checkpoint of step ${this.work.step()}: ${error.message}; the run goes on and tries again after step ` +
          `${this.#nextSavedStep()}, or in a minute if that is sooner; ` +
          (kept ? `${kept.path} is kept` : 'nothing is saved yet'),
      );
    }
  }

  /** The step after which the next checkpoint is saved, however short the steps are. */
  #nextSavedStep(): number {
    const { work, settings } = this;
    const evalEvery = work.evaluate ? settings.evalEvery : 0;
    return Math.min(
      settings.steps,
      ...[settings.saveEvery, evalEvery].map((every) => nextDue(work.step(), every)),
    );
  }

  async #evaluate(): Promise<void> {
    const { work, options } = this;
    this.#evaluation = null;
    if (options.signal?.aborted) return;
    let evaluation: Evaluation;
    try {
      evaluation = await work.evaluate!(options);
    } catch (error) {
      if (options.signal?.aborted && error === options.signal.reason) return;
      if (error instanceof ForetokenError && error.code === 'DIVERGED') await work.diverged(error.message);
      throw error;
    }
    this.#write({ step: work.step(), evaluation });
    options.onEvaluation?.(evaluation, work.step());
    if (work.step() === this.settings.steps) this.#evaluation = evaluation;
  }

  #write(entry: LogEntry): void {
    try {
      this.log?.write(entry);
      this.#logFails = false;
    } catch (error) {
      // Warn once, not at every step.
      if (!this.#logFails) this.warn(`${(error as Error).message}; the run goes on`);
      this.#logFails = true;
    }
  }

  #minutesFromNow(minutes: number): number {
    return minutes === 0 ? Infinity : performance.now() + minutes * 60_000;
  }
}

function isDue(step: number, every: number): boolean {
  return every > 0 && step % every === 0;
}

/** The first step after this one that is due; Infinity if none ever is. */
function nextDue(step: number, every: number): number {
  return every > 0 ? step + every - (step % every) : Infinity;
}
