import { ForetokenError } from '../errors';
import { loadWeights } from '../model/load';
import { MtpModel } from '../model/model';
import { sumSquares } from '../tensor/ops/optimizer/optimizer';
import { scope } from '../tensor/scope';
import { PackedRows, RowOrder, splitHeldOut, type TokenFile } from './data';
import { checkRunOptions, checkTrainerOptions } from './check-options';
import { evaluate, type Evaluation } from './evaluate';
import type { TrainingLog } from './log';
import { AdamW } from './optimizer';
import type { Recipe, RunSettings, TrainerOptions } from './options';
import { planOf, type Plan } from './plan';
import { Run, type RunOptions, type RunResult, type StepResult, type Work } from './run';
import { RunDirectories } from './run-directories';
import { RunDirectory, type Checkpoint } from './run-directory';
import { loadOptimizer, readState, type SavedState } from './state';
import { runTrainStep } from './train-step';
import { Turns } from './turns';

/**
 * Trains a model step by step. The same options give the same losses to the bit, for any number of threads, and for
 * interrupted and resumed runs. Concurrent steps, evaluations and checkpoints run one after another, so a checkpoint never
 * holds half a step.
 * @example
 * ```ts
 * import { byteTokenizerFiles, createTokenizer, openDevice, prepareCorpus, Trainer } from 'foretoken';
 *
 * using device = openDevice('auto');
 * const tokenizer = createTokenizer(byteTokenizerFiles());
 * using trainer = await Trainer.create({
 *   device,
 *   tokenizer,
 *   data: await prepareCorpus({ patterns: ['texts/**'], tokenizer, cacheDirectory: 'cache' }),
 *   model: { hiddenSize: 128, numHiddenLayers: 2, numAttentionHeads: 4, mtp: { kind: 'rooted', numHeads: 4 } },
 *   steps: 1000,
 *   batchSize: 4,
 *   sequenceLength: 256,
 *   learningRate: { schedule: 'cosine', peak: 3e-3 },
 *   output: 'runs/first',
 * });
 * await trainer.run({ onStep: ({ step, loss }) => console.log(step, loss) });
 * ```
 */
export class Trainer implements Disposable {
  /** The model in training: the given one, or a new one, which is disposed with the trainer. */
  readonly model: MtpModel;
  /** Options that decide the run's numbers, with defaults filled in. */
  readonly recipe: Recipe;
  /** Options that a resumed run may change, with defaults filled in. */
  readonly settings: RunSettings;
  readonly #options: TrainerOptions;
  readonly #plan: Plan;
  readonly #directories: RunDirectories;
  readonly #ownsModel: boolean;
  readonly #optimizer: AdamW;
  readonly #training: PackedRows;
  readonly #heldOut: PackedRows | null;
  readonly #turns = new Turns();
  #order: RowOrder;
  #step = 0;
  #tokens = 0;
  #running = false;
  #warn = emitWarning;
  /** The error of a diverged run: its weights are useless. */
  #divergence: ForetokenError | null = null;

  /**
   * Checks the options, locks the output directory, prepares the corpus and loads the checkpoint of a resumed run.
   * @throws INVALID_ARGUMENT naming the option; FILE_ACCESS or CORRUPT_FILE naming the file
   */
  static async create(given: TrainerOptions): Promise<Trainer> {
    const options = checkTrainerOptions(given);
    const { resume, output } = options;
    const resumed = resume === undefined ? undefined : await readState(resume);
    const plan = planOf(options, resumed);
    const directory =
      output === undefined ? null : await RunDirectory.open(output, resumed?.state.step ?? 0, resumed);
    const directories = new RunDirectories(directory, resumed);
    let trainer: Trainer | undefined;
    try {
      const data = typeof options.data === 'function' ? await options.data() : options.data;
      if (resumed && data.checksum !== resumed.state.recipe.data) throw otherCorpus(resumed);
      trainer = new Trainer(options, plan, data, directories);
      if (resumed) await trainer.#resume(resumed);
      return trainer;
    } catch (error) {
      trainer?.dispose();
      directories.close();
      throw error;
    }
  }

  private constructor(options: TrainerOptions, plan: Plan, data: TokenFile, directories: RunDirectories) {
    const { device, model } = options;
    this.#options = options;
    this.#plan = plan;
    this.#directories = directories;
    this.#ownsModel = !(model instanceof MtpModel);
    const recipe = (this.recipe = { ...plan.recipe, data: data.checksum });
    this.settings = plan.settings;
    const { vocabSize, mtp } = recipe.model;
    if (data.vocabSize > vocabSize) {
      const problem = `the corpus has ${data.vocabSize} different tokens, but the model's vocabSize is ${vocabSize}`;
      throw new ForetokenError('INVALID_ARGUMENT', `trainer: ${problem}`);
    }
    const rows = { rowLength: recipe.sequenceLength, heads: mtp.numHeads };
    const split = recipe.heldOut > 0 ? splitHeldOut(data.length, recipe.heldOut) : null;
    this.#training = new PackedRows(data, { ...rows, range: split?.training });
    this.#heldOut = split && new PackedRows(data, { ...rows, range: split.heldOut });
    this.#order = new RowOrder(this.#training.length, recipe.seed);
    // Last, because a later error would have to free this memory.
    const { seed, dtype } = recipe;
    this.model = model instanceof MtpModel ? model : new MtpModel(device, recipe.model, { seed, dtype });
    this.model.tables.reserve(recipe.sequenceLength);
    this.#optimizer = new AdamW(this.model.parameters, recipe.optimizer);
  }

  async #resume({ checkpoint, state }: SavedState): Promise<void> {
    await loadWeights(this.model, checkpoint);
    await loadOptimizer(this.#optimizer, checkpoint, state);
    this.#order = new RowOrder(this.#training.length, this.recipe.seed, state.order);
    this.#step = state.step;
    this.#tokens = state.tokens;
  }

  /** Steps done. */
  get step(): number {
    return this.#step;
  }

  /** Tokens trained on. */
  get tokens(): number {
    return this.#tokens;
  }

  /**
   * Runs steps, evaluations and checkpoints, until all steps are done or the signal is aborted.
   * @throws INVALID_ARGUMENT while the trainer is running already; DIVERGED; FILE_ACCESS if the last checkpoint cannot be
   * written. The message names the checkpoint that is kept
   */
  async run(given: RunOptions = {}): Promise<RunResult> {
    const run = checkRunOptions(given);
    this.#checkIdle('run');
    this.#running = true;
    if (run.onWarning) this.#warn = run.onWarning;
    try {
      let log: TrainingLog | null = null;
      try {
        // A finished run leaves its log unchanged.
        const done = this.step >= this.settings.steps;
        if (!done) log = (await this.#directories.output?.openLog(this.step)) ?? null;
        const evaluation = await new Run(
          this.#work(),
          this.settings,
          this.#directories.output,
          log,
          run,
          this.#warn,
        ).toEnd();
        // Wait for steps and checkpoints that the caller requested meanwhile.
        await this.#turns.take(() => Promise.resolve());
        const completed = this.step >= this.settings.steps;
        return { step: this.step, completed, checkpoint: this.#directories.saved?.path ?? null, evaluation };
      } catch (error) {
        throw this.#withAdvice(error);
      } finally {
        await log?.close().catch((error: unknown) => this.#warn((error as Error).message));
      }
    } finally {
      this.#warn = emitWarning;
      this.#running = false;
    }
  }

  #work(): Work {
    return {
      step: () => this.step,
      trainStep: () => this.#turns.take(() => this.#trainStep()),
      evaluate: this.#heldOut && ((run) => this.#turns.take(() => this.#evaluate(run))),
      save: () => this.#turns.take(() => this.#save(this.#directories.output!)),
      diverged: (problem) => this.#turns.take(() => this.#diverge(`step ${this.step}: ${problem}`)),
    };
  }

  /**
   * Runs one step of the optimizer: enqueues all of it, then reads one small tensor back.
   * @throws DIVERGED if the loss or the gradient is not finite: the weights keep their values from before the step, and are
   * neither trained further nor saved; INVALID_ARGUMENT during a {@link run}
   */
  async trainStep(): Promise<StepResult> {
    this.#checkIdle('trainStep');
    return this.#turns.take(() => this.#trainStep());
  }

  async #trainStep(): Promise<StepResult> {
    if (this.#divergence) throw this.#divergence;
    const started = performance.now();
    const { accumulation, batchSize, sequenceLength } = this.recipe;
    const batches = Array.from({ length: accumulation }, () =>
      this.#training.batch(this.#order.next(batchSize)),
    );
    const learningRate = this.#plan.learningRate(this.step);
    const weights = this.#plan.headWeights(this.step);
    const { loss, headLosses, gradientNorm } = await runTrainStep(this.model, this.#optimizer, {
      ...{ batches, batchSize, weights, terms: this.recipe.loss, learningRate },
    });
    if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) {
      const problem = `step ${this.step + 1}: the loss is ${loss} and the norm of the gradient ${gradientNorm}`;
      await this.#diverge(problem, Number.isFinite(loss));
    }
    this.#step += 1;
    const tokens = accumulation * batchSize * sequenceLength;
    this.#tokens += tokens;
    // The newest checkpoint is good: its weights have given a loss.
    await this.#rotate(this.settings.keepCheckpoints);
    const seconds = (performance.now() - started) / 1000;
    return { step: this.step, loss, headLosses, learningRate, gradientNorm, tokens, seconds };
  }

  /**
   * Evaluates all heads on the held-out part of the corpus.
   * @param run its `signal` aborts the evaluation, which rejects with the signal's reason
   * @throws INVALID_ARGUMENT if nothing is held out
   */
  async evaluate(run: Pick<RunOptions, 'signal' | 'onEvaluationProgress'> = {}): Promise<Evaluation> {
    if (!this.#heldOut)
      throw new ForetokenError('INVALID_ARGUMENT', 'evaluate: nothing is held out (heldOut is 0)');
    return this.#turns.take(() => this.#evaluate(run));
  }

  async #evaluate({ signal, onEvaluationProgress }: RunOptions): Promise<Evaluation> {
    const evaluation = await evaluate(this.model, this.#heldOut!, {
      batchSize: this.recipe.batchSize,
      rows: this.settings.evalRows,
      tokenizer: this.#options.tokenizer,
      signal,
      onProgress: onEvaluationProgress,
    });
    // The newest checkpoint is good: its weights have given a loss.
    await this.#rotate(this.settings.keepCheckpoints);
    return evaluation;
  }

  /**
   * Publishes `checkpoint-<step>` in `output` after the step under way, and returns its path.
   * @throws DIVERGED if the weights are useless; INVALID_ARGUMENT while another training writes into `output`;
   * FILE_ACCESS
   */
  async save(output: string): Promise<string> {
    return this.#turns.take(() =>
      this.#directories.use(output, this.step, async (directory) => (await this.#save(directory)).path),
    );
  }

  async #save(directory: RunDirectory): Promise<Checkpoint> {
    if (this.#divergence) throw this.#divergence;
    if (!Number.isFinite(await this.#sumOfSquares())) {
      await this.#diverge(
        `step ${this.step}: the weights are not finite, or too large to sum their squares, and not saved`,
      );
    }
    const trained = { model: this.model, tokenizer: this.#options.tokenizer, optimizer: this.#optimizer };
    const { step, tokens, recipe, settings } = this;
    const state = { step, tokens, order: this.#order.state, settings, recipe };
    const saved = (this.#directories.saved = await directory.save(trained, state, this.#warn));
    // Keep the previous checkpoint until a loss shows that these weights are good.
    await this.#rotate(Math.max(2, settings.keepCheckpoints));
    return saved;
  }

  /** Computes Σ w² over all weights. */
  async #sumOfSquares(): Promise<number> {
    using squares = scope(() => {
      const { buckets } = this.model.parameters;
      const sums = this.model.device.empty([buckets.length]);
      buckets.forEach(({ value }, i) => sums.view(i, [1]).copyFrom(sumSquares(value)));
      return sums;
    });
    return [...(await squares.data())].reduce((sum, part) => sum + part, 0);
  }

  #rotate(keep: number): Promise<void> {
    return this.#directories.rotate(keep, this.#warn);
  }

  /**
   * Ends training, because weights without a finite loss are useless.
   * @param areGood whether the weights are finite and only the gradient is not
   */
  async #diverge(problem: string, areGood = false): Promise<never> {
    const aside = areGood ? '' : await this.#directories.setAside(this.step);
    const { peak } = this.recipe.learningRate;
    const { saved } = this.#directories;
    const from = saved ? `resume from ${saved.path}` : 'nothing else is saved: begin again';
    const message = `${problem}${aside}; ${from} with a lower learning rate than ${peak}`;
    throw (this.#divergence = new ForetokenError('DIVERGED', message));
  }

  /** Adds to an error the step, and the checkpoint that is kept. */
  #withAdvice(error: unknown): unknown {
    if (!(error instanceof ForetokenError) || error.code === 'DIVERGED' || !this.#directories.output)
      return error;
    const { saved } = this.#directories;
    const kept = saved ? `${saved.path} is kept: resume from it` : 'nothing was saved: begin again';
    return new ForetokenError(error.code, `step ${this.step}: ${error.message}; ${kept}`, { cause: error });
  }

  #checkIdle(what: string): void {
    if (!this.#running) return;
    throw new ForetokenError('INVALID_ARGUMENT', `${what}: the trainer is running; wait for run() to end`);
  }

  /** Frees the optimizer, the lock of the output directory, and the model unless it was given. */
  dispose(): void {
    this.#directories.close();
    this.#optimizer.dispose();
    if (this.#ownsModel) this.model.dispose();
  }

  /** Calls {@link dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

function emitWarning(message: string): void {
  process.emitWarning(message);
}

function otherCorpus({ checkpoint }: SavedState): ForetokenError {
  const same = 'text, tokenizer, exclusions, text field and handling of special tokens';
  const problem = `the corpus differs from that of the run; give the same ${same}`;
  return new ForetokenError('INVALID_ARGUMENT', `cannot resume from ${checkpoint}: ${problem}`);
}
