import { setImmediate } from 'node:timers/promises';
import { ForetokenError } from '../errors';
import type { MtpModel } from '../model/model';
import { Engine, type EngineOptions, type Outcome, type StepResult } from './engine';
import type { GeneratedPiece } from './output-limiter';
import { StepPlanner, type DraftedText } from './step-planner';
import { experienceWith } from './experience';
import type { Text } from './text';

/** A consumer that waits for the next piece of its text. */
interface Asker {
  resolve(piece: GeneratedPiece): void;
  reject(error: unknown): void;
}

/**
 * Steps the texts whose consumers ask for their next piece, all in one engine. A text takes part in a step only when its consumer
 * asks, so a slow consumer delays no other text. Texts beyond the number of slots wait for one.
 */
export class Scheduler implements Disposable {
  #engine: Engine | null = null;
  readonly #planner: StepPlanner;
  readonly #asking = new Map<Text, Asker>();
  /** Texts that have a slot. */
  readonly #members = new Set<Text>();
  #isRunning = false;
  #isDisposed = false;

  constructor(
    private readonly model: MtpModel,
    private readonly options: EngineOptions,
  ) {
    this.#planner = new StepPlanner(experienceWith(model).budget);
  }

  /**
   * Resolves with the next piece of a text that has not ended.
   * @throws what ended the text: its signal's reason, or the error of its step
   */
  async next(text: Text): Promise<GeneratedPiece> {
    const { signal } = text.request.options;
    const withdraw = (): void => {
      // A text with a slot may be in the step that runs; it is looked at when the step has ended.
      if (!this.#members.has(text)) this.#settle(text, 'reject', signal!.reason);
    };
    signal?.addEventListener('abort', withdraw);
    try {
      return await new Promise((resolve, reject) => {
        this.#asking.set(text, { resolve, reject });
        void this.#run();
      });
    } finally {
      signal?.removeEventListener('abort', withdraw);
    }
  }

  /** Takes a text out whose consumer asks for no more pieces, and gives its slot to another. */
  leave(text: Text): void {
    this.#asking.delete(text);
    if (this.#members.delete(text)) this.#engine?.release(text.sequence);
    void this.#run();
  }

  async #run(): Promise<void> {
    if (this.#isRunning) return;
    this.#isRunning = true;
    try {
      for (let texts = this.#ready(); texts.length > 0; texts = this.#ready()) {
        await this.#step(texts);
        // Let the consumers of several texts ask again, so that the next step carries all of them.
        if (this.#members.size > 1) await setImmediate();
      }
    } finally {
      this.#isRunning = false;
    }
  }

  /** Gives free slots to texts that wait, and returns the texts that can step. */
  #ready(): Text[] {
    for (const text of [...this.#asking.keys()]) {
      const { signal } = text.request.options;
      if (signal?.aborted) this.#settle(text, 'reject', signal.reason);
      else if (!this.#members.has(text)) this.#admit(text);
    }
    return [...this.#asking.keys()].filter((text) => this.#members.has(text));
  }

  #admit(text: Text): void {
    try {
      if (this.#isDisposed) throw new ForetokenError('INVALID_HANDLE', 'generate: the model was disposed');
      if (this.#members.size >= this.options.slots) return;
      if (this.#engine?.isCurrent === false) {
        if (this.#members.size > 0) return;
        this.#engine.dispose();
        this.#engine = null;
      }
      this.#engine ??= new Engine(this.model, this.options);
      this.#engine.admit(text.sequence);
      this.#members.add(text);
    } catch (error) {
      this.#settle(text, 'reject', error);
    }
  }

  async #step(texts: readonly Text[]): Promise<void> {
    const start = performance.now();
    const drafted = texts.flatMap((text) => this.#draft(text));
    try {
      const result = await this.#engine!.step(this.#planner.plan(drafted));
      const seconds = (performance.now() - start) / 1000;
      this.#planner.observe(result, seconds);
      drafted.forEach(({ text }, i) => this.#take(text, result.outcomes[i]!, result, seconds));
    } catch (error) {
      for (const text of texts) this.#settle(text, 'reject', error);
    }
  }

  /** Drafts for a text; one whose drafts fail takes no part in the step. */
  #draft(text: Text): DraftedText[] {
    try {
      return [{ text, drafted: text.draft() }];
    } catch (error) {
      this.#settle(text, 'reject', error);
      return [];
    }
  }

  #take(text: Text, outcome: Outcome, result: StepResult, seconds: number): void {
    try {
      const piece = text.take(outcome, result, seconds);
      if (piece) this.#settle(text, 'resolve', piece);
    } catch (error) {
      this.#settle(text, 'reject', error);
    }
  }

  #settle(text: Text, how: 'resolve', value: GeneratedPiece): void;
  #settle(text: Text, how: 'reject', value: unknown): void;
  #settle(text: Text, how: keyof Asker, value: unknown): void {
    const asker = this.#asking.get(text);
    this.#asking.delete(text);
    asker?.[how](value as GeneratedPiece);
  }

  /** Frees the engine; texts that have not ended are rejected when they are asked for more. */
  dispose(): void {
    this.#isDisposed = true;
    this.#members.clear();
    this.#engine?.dispose();
    this.#engine = null;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
