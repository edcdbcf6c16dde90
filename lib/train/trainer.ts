import { join } from 'node:path';
import { ForetokenError } from '../errors';
import { loadWeights } from '../model/checkpoint';
import { modelConfig } from '../model/config';
import { backwardHeadByHead, uploadBatch } from '../model/loss';
import { MtpModel } from '../model/model';
import { native } from '../native/load';
import { scope } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import { checkInteger } from '../check';
import { NO_TARGET, PackedRows, RowOrder, splitHeldOut, type PackedBatch } from './data';
import { evaluate, type Evaluation } from './evaluate';
import { headCurriculum, headWeightSchedule } from './head-schedule';
import { TrainingLog } from './log';
import { AdamW } from './optimizer';
import { checkSameRecipe, recipeOf, type Recipe, type TrainerOptions } from './options';
import { learningRateSchedule } from './schedule';
import {
  checkOutput,
  loadOptimizer,
  readState,
  saveCheckpoint,
  type SavedState,
  type TrainerState,
} from './state';

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
  /** When aborted, the step under way is finished and a checkpoint saved. */
  readonly signal?: AbortSignal;
  /** Called after every step. */
  readonly onStep?: (result: StepResult) => void;
  /** Called after every evaluation, with the steps done by then. */
  readonly onEvaluation?: (evaluation: Evaluation, step: number) => void;
  /** Called after every checkpoint, with its directory and the steps done by then. */
  readonly onCheckpoint?: (path: string, step: number) => void;
}

/** What {@link Trainer.run} has come to. */
export interface RunResult {
  /** Steps done in all. */
  readonly step: number;
  /** False when the run was aborted. */
  readonly completed: boolean;
  /** The last checkpoint, if there is an output directory. */
  readonly checkpoint: string | null;
  /** The evaluation at the end of a completed run, if anything is held out. */
  readonly evaluation: Evaluation | null;
}

/**
 * Trains a model, step by step. The same options give the same losses to the bit, whatever the number of threads, and
 * whether the run was interrupted and resumed or not.
 */
export class Trainer implements Disposable {
  /** The model that learns: the one that was given, or a new one, which is disposed with the trainer. */
  readonly model: MtpModel;
  /** What decides the run's numbers, defaults filled in. */
  readonly recipe: Recipe;
  readonly #options: TrainerOptions;
  readonly #ownsModel: boolean;
  readonly #optimizer: AdamW;
  readonly #training: PackedRows;
  readonly #heldOut: PackedRows | null;
  readonly #learningRate: (step: number) => number;
  readonly #headWeights: (step: number) => number[];
  #order: RowOrder;
  #step = 0;
  #tokens = 0;
  #saved: { step: number; path: string } | null = null;

  /** Checks the options and, when resuming, loads the checkpoint. */
  static async create(options: TrainerOptions): Promise<Trainer> {
    const saved = options.resume === undefined ? undefined : await readState(options.resume);
    const trainer = new Trainer(options, saved?.state.recipe);
    try {
      if (saved) await trainer.#resume(saved);
      if (options.output !== undefined) await checkOutput(options.output, trainer.step);
    } catch (error) {
      trainer.dispose();
      throw error;
    }
    return trainer;
  }

  private constructor(options: TrainerOptions, before?: Recipe) {
    const { device, data, tokenizer, model, dtype = 'float32' } = options;
    this.#options = options;
    this.#ownsModel = !(model instanceof MtpModel);
    const config =
      model instanceof MtpModel
        ? model.config
        : modelConfig({
            vocabSize: tokenizer.vocabSize,
            bosTokenId: tokenizer.bosId ?? null,
            eosTokenId: tokenizer.eosId ?? null,
            ...model,
          });
    if (data.vocabSize > config.vocabSize) {
      const problem = `the corpus has ${data.vocabSize} different tokens, but the model's vocabSize is ${config.vocabSize}`;
      throw new ForetokenError('INVALID_ARGUMENT', `trainer: ${problem}`);
    }
    for (const name of ['evalEvery', 'saveEvery'] as const)
      checkInteger(`trainer: ${name}`, options[name] ?? 0, 0);
    for (const name of ['evalRows', 'keepCheckpoints'] as const) {
      checkInteger(`trainer: ${name}`, options[name] ?? 1, 1);
    }
    const computes = { config, dtype: model instanceof MtpModel ? model.dtype : dtype };
    const recipe = (this.recipe = recipeOf(options, computes, before));
    const heads = config.mtp.numHeads;
    const rows = { rowLength: recipe.sequenceLength, heads };
    const split = recipe.heldOut > 0 ? splitHeldOut(data.length, recipe.heldOut) : null;
    this.#training = new PackedRows(data, { ...rows, range: split?.training });
    this.#heldOut = split && new PackedRows(data, { ...rows, range: split.heldOut });
    this.#order = new RowOrder(this.#training.length, recipe.seed);
    this.#learningRate = learningRateSchedule({ ...recipe.learningRate, steps: options.steps });
    const weights = headWeightSchedule(heads, recipe.headWeights);
    const active = recipe.curriculum ? headCurriculum(heads, recipe.curriculum) : () => heads;
    if (recipe.curriculum && weights(0)[0] === 0) {
      const problem = 'a curriculum has steps in which head 1 alone is trained, but head 1 weighs 0';
      throw new ForetokenError('INVALID_ARGUMENT', `head weights: ${problem}`);
    }
    this.#headWeights = (step) => weights(step).map((weight, i) => (i < active(step) ? weight : 0));
    // Last, because from here on there is memory to give back.
    this.model =
      model instanceof MtpModel ? model : new MtpModel(device, config, { seed: recipe.seed, dtype });
    this.model.table.reserve(recipe.sequenceLength);
    this.#optimizer = new AdamW(this.model.parameters, recipe.optimizer);
  }

  async #resume({ checkpoint, state }: SavedState): Promise<void> {
    checkSameRecipe(state.recipe, this.recipe, checkpoint);
    await loadWeights(this.model, checkpoint);
    await loadOptimizer(this.#optimizer, checkpoint, state);
    this.#order = new RowOrder(this.#training.length, this.recipe.seed, state.order);
    this.#step = state.step;
    this.#tokens = state.tokens;
    this.#saved = { step: state.step, path: checkpoint };
  }

  /** Steps done. */
  get step(): number {
    return this.#step;
  }

  /** Tokens trained on. */
  get tokens(): number {
    return this.#tokens;
  }

  /** Steps, with evaluations and checkpoints in between, until all are done or the signal says stop. */
  async run(run: RunOptions = {}): Promise<RunResult> {
    const { steps, output, evalEvery = 0, saveEvery = 0 } = this.#options;
    const log = output === undefined ? null : await this.#openLog(output);
    let evaluation: Evaluation | null = null;
    try {
      while (this.step < steps && !run.signal?.aborted) {
        const result = await this.trainStep();
        log?.write({ ...result });
        run.onStep?.(result);
        const last = this.step === steps;
        if (this.#heldOut && (last || isDue(this.step, evalEvery))) {
          evaluation = await this.evaluate();
          log?.write({ step: this.step, evaluation });
          run.onEvaluation?.(evaluation, this.step);
        }
        const stopping = last || run.signal?.aborted;
        if (output !== undefined && (stopping || isDue(this.step, saveEvery))) {
          const path = await this.save(output);
          run.onCheckpoint?.(path, this.step);
        }
      }
    } finally {
      await log?.close();
    }
    const completed = this.step >= steps;
    return { step: this.step, completed, checkpoint: this.#saved?.path ?? null, evaluation };
  }

  #openLog(output: string): Promise<TrainingLog> {
    const path = join(output, 'train.jsonl');
    return this.step === 0 ? TrainingLog.create(path) : TrainingLog.resume(path, this.step);
  }

  /**
   * One step of the optimizer. Everything is enqueued at once and one small tensor read back.
   * @throws DIVERGED when the loss or the gradient is not a number any more
   */
  async trainStep(): Promise<StepResult> {
    const started = performance.now();
    const { accumulation, batchSize, sequenceLength } = this.recipe;
    const batches = Array.from({ length: accumulation }, () =>
      this.#training.batch(this.#order.next(batchSize)),
    );
    const learningRate = this.#learningRate(this.step);
    const weights = this.#headWeights(this.step);
    const counts = weights.map((_, i) => validCount(batches.map((batch) => batch.targets[i]!)));
    const { sums, nll } = this.#enqueueStep(batches, weights, counts, learningRate);
    const [values, nllSums] = await Promise.all([sums.data(), sumsByHead(nll)]);
    for (const tensor of [sums, ...nll.flat()]) tensor.dispose();
    const gradientNorm = values[weights.length]!;
    const means = (sumOf: ArrayLike<number>): (number | null)[] =>
      weights.map((weight, i) => (weight === 0 || counts[i] === 0 ? null : sumOf[i]! / counts[i]!));
    const headLosses = means(nllSums ?? values);
    const loss = means(values).reduce((total: number, mean, i) => total + weights[i]! * (mean ?? 0), 0);
    this.#step += 1;
    const tokens = accumulation * batchSize * sequenceLength;
    this.#tokens += tokens;
    if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) {
      const problem = `the loss is ${loss} and the norm of the gradient ${gradientNorm}`;
      throw new ForetokenError('DIVERGED', `step ${this.step}: ${problem}; lower the learning rate`);
    }
    const seconds = (performance.now() - started) / 1000;
    return { step: this.step, loss, headLosses, learningRate, gradientNorm, tokens, seconds };
  }

  /**
   * Returns [heads + 1], the sum of each head's losses and the norm of the gradient; and where losses have terms beside
   * -log p(token), that of every row by head and batch.
   */
  #enqueueStep(
    batches: readonly PackedBatch[],
    weights: readonly number[],
    counts: readonly number[],
    learningRate: number,
  ): { sums: Tensor; nll: Tensor[][] } {
    const { model, recipe } = this;
    const { batchSize, sequenceLength } = recipe;
    // Means over all batches of the step, so that accumulating is the same as one large batch.
    const rowWeights = weights.map((weight, i) => (counts[i] === 0 ? 0 : weight / counts[i]!));
    return scope(() => {
      model.parameters.zeroGradients();
      const sums = model.device.zeros([weights.length + 1]);
      const hasTerms = Object.values(recipe.loss).some((term) => term !== 0);
      const outputs = hasTerms ? (['nll'] as const) : [];
      const options = { ...recipe.loss, weights: rowWeights, outputs };
      const nll: Tensor[][] = weights.map(() => []);
      for (const batch of batches) {
        const losses = scope(() => {
          const rows = { ...batch, batch: batchSize, length: sequenceLength };
          return backwardHeadByHead(model, uploadBatch(model.device, rows, model.heads), options);
        });
        losses.forEach((loss, i) => {
          if (loss) native.accumulate(sums.view(i, [1]).handle, loss.headLoss.handle, 1);
          if (loss?.nll) nll[i]!.push(loss.nll);
        });
      }
      const norm = this.#optimizer.update(learningRate);
      sums.view(weights.length, [1]).copyFrom(norm);
      return { sums, nll };
    });
  }

  /**
   * Evaluates all heads on the held-out part of the corpus.
   * @throws INVALID_ARGUMENT when nothing is held out
   */
  async evaluate(): Promise<Evaluation> {
    if (!this.#heldOut)
      throw new ForetokenError('INVALID_ARGUMENT', 'evaluate: nothing is held out (heldOut is 0)');
    return evaluate(this.model, this.#heldOut, {
      batchSize: this.recipe.batchSize,
      rows: this.#options.evalRows,
      tokenizer: this.#options.tokenizer,
    });
  }

  /** Publishes `checkpoint-<step>` in `output` and returns its path. */
  async save(output: string): Promise<string> {
    const state: Omit<TrainerState, 'version'> = {
      step: this.step,
      tokens: this.tokens,
      order: this.#order.state,
      recipe: this.recipe,
    };
    const trained = { model: this.model, tokenizer: this.#options.tokenizer, optimizer: this.#optimizer };
    const path = await saveCheckpoint(output, trained, state, this.#options.keepCheckpoints ?? 2);
    this.#saved = { step: this.step, path };
    return path;
  }

  /** Frees the optimizer's memory, and the model unless it was given. */
  dispose(): void {
    this.#optimizer.dispose();
    if (this.#ownsModel) this.model.dispose();
  }

  /** What `using` calls: {@link dispose}. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

function isDue(step: number, every: number): boolean {
  return every > 0 && step % every === 0;
}

/** The sum over all rows of each head; null where there are none of any head. */
async function sumsByHead(rows: readonly (readonly Tensor[])[]): Promise<number[] | null> {
  if (rows.flat().length === 0) return null;
  return Promise.all(
    rows.map(async (ofHead) => {
      const arrays = await Promise.all(ofHead.map((tensor) => tensor.data()));
      let sum = 0;
      for (const array of arrays) for (const value of array) sum += value;
      return sum;
    }),
  );
}

function validCount(targets: readonly Int32Array[]): number {
  let count = 0;
  for (const array of targets) for (const target of array) if (target !== NO_TARGET) count += 1;
  return count;
}
