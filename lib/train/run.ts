import { ForetokenError } from '../errors';
import type { Evaluation } from './evaluate';
import type { LogEntry, TrainingLog } from './log';
import type { RunSettings } from './options';
import type { Checkpoint, RunDirectory } from './run-directory';

/** What one training step did. */
export interface StepResult {
  /** Steps done, this one included. */
  readonly step: number;
  /** What was minimised: the sum of the heads' losses, weighted, with z-loss, label smoothing and entropy term. */
  readonly loss: number;
  /** Mean of -log p(token) of each head in nats, without any such term; null for heads that did not learn in this step. */
  readonly headLosses: readonly (number | null)[];
  /** The learning rate of this step. */
  readonly learningRate: number;
  /** Global norm of the gradient before clipping. */
  readonly gradientNorm: number;
  /** Tokens trained on in this step. */
  readonly tokens: number;
  /** Wall-clock time, the reading of its rows included. */
  readonly seconds: number;
}

/** How {@link Trainer.run} can be stopped and followed. */
export interface RunOptions {
  /** When aborted, the step under way is finished and a checkpoint saved; an evaluation under way is given up. */
  readonly signal?: AbortSignal;
  /** Called after every step. */
  readonly onStep?: (result: StepResult) => void;
  /** Called after every batch of an evaluation. */
  readonly onEvaluationProgress?: (done: EvaluationProgress) => void;
  /** Called after every evaluation, with the steps done by then. */
  readonly onEvaluation?: (evaluation: Evaluation, step: number) => void;
  /** Called after every checkpoint, with its directory and the steps done by then. */
  readonly onCheckpoint?: (path: string, step: number) => void;
  /**
   * Told of what went wrong without ending the run: a line of the log or a checkpoint that could not be written. Default:
   * `process.emitWarning`.
   */
  readonly onWarning?: (message: string) => void;
}

/** How far an evaluation is. */
export interface EvaluationProgress {
  /** Rows done. */
  readonly rows: number;
  /** Rows in all. */
  readonly of: number;
}

/** What {@link Trainer.run} has come to. */
export interface RunResult {
  /** Steps done in all. */
  readonly step: number;
  /** False when the run was aborted before its last step. */
  readonly completed: boolean;
  /** The last checkpoint, if there is an output directory. */
  readonly checkpoint: string | null;
  /** The evaluation at the end of a completed run, if anything is held out and the evaluation was not aborted. */
  readonly evaluation: Evaluation | null;
}

/** What a run is made of; steps, evaluations and checkpoints wait for each other. */
export interface Work {
  /** Steps done. */
  step(): number;
  trainStep(): Promise<StepResult>;
  /** Null when nothing is held out. */
  readonly evaluate: ((run: RunOptions) => Promise<Evaluation>) | null;
  save(): Promise<Checkpoint>;
  /** Takes note that the weights of the last checkpoint, which are the current ones, are of no use. */
  diverged(problem: string): Promise<never>;
}

/** After a checkpoint that could not be saved, the next one is tried after so long. */
const RETRY_MINUTES = 1;

/** The loop of a run: steps, with checkpoints and evaluations in between, until all are done or the signal says stop. */
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

  /** Returns the last step's evaluation, if there was one. */
  async toEnd(): Promise<Evaluation | null> {
    const { work, settings, options } = this;
    while (work.step() < settings.steps && !options.signal?.aborted) {
      const result = await work.trainStep();
      this.#write({ ...result });
      options.onStep?.(result);
      const last = work.step() === settings.steps;
      const evaluates = work.evaluate !== null && (last || isDue(work.step(), settings.evalEvery));
      // Saved before it is evaluated: whatever happens then, the steps are kept.
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

  /** A checkpoint that cannot be saved now is no reason to lose the steps to come. */
  async #trySave(): Promise<void> {
    try {
      await this.#save();
    } catch (error) {
      if (!(error instanceof ForetokenError) || error.code !== 'FILE_ACCESS') throw error;
      this.#nextSave = this.#minutesFromNow(RETRY_MINUTES);
      const kept = this.directory?.newest;
      this.warn(
        `no checkpoint of step ${this.work.step()}: ${error.message}; the run goes on and tries again in a minute; ` +
          (kept ? `${kept.path} is kept` : 'nothing is saved yet'),
      );
    }
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
      // Once, not at every step.
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
