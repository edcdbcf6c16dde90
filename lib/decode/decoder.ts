import { ForetokenError } from '../errors';
import type { MtpModel } from '../model/model';
import { KvCache } from '../nn/kv-cache';
import { noGrad } from '../tensor/autograd';
import { needsHistory, type SamplingOptions } from '../tensor/ops/sampling/sampling';
import { scope } from '../tensor/scope';
import { makeDrafter, type Drafter } from './drafter';
import { chainRows } from './rows';
import { PlanInputs, StepInputs } from './step-inputs';
import { TreeStep, type StepReport } from './tree-step';
import type { TreePlan } from './tree-plan';

/** Prompt tokens that go through the model at a time. */
const PREFILL_ROWS = 64;

export interface DecoderOptions {
  /** Filled in, and checked. */
  sampling: Required<SamplingOptions>;
  /** How many heads will draft, at most: the depth of the deepest tree. */
  maxDepth: number;
  /** Positions there must be room for: prompt, output and the nodes of one tree. */
  capacity: number;
}

/**
 * Decodes one sequence step by step: draft, tree forward, verify, commit, with one small readback at the end. Which tree is
 * used changes how many tokens a step commits, but never which.
 */
export class Decoder implements Disposable {
  readonly #cache: KvCache;
  readonly #drafter: Drafter | null;
  readonly #inputs: StepInputs;
  /** By the form of their plans. */
  readonly #steps = new Map<string, TreeStep>();
  /** Prompt and output; the last one is the root of the next tree, not yet in the cache. */
  readonly #tokens: number[] = [];
  /** Of the weights that captured steps read. */
  readonly #version: number;
  #promptLength = 0;
  #drawnAt = 0;

  constructor(
    private readonly model: MtpModel,
    private readonly options: DecoderOptions,
  ) {
    const { numHiddenLayers, numKeyValueHeads, headDim, maxPositionEmbeddings } = model.config;
    const { capacity, maxDepth, sampling } = options;
    const kvHeads = numKeyValueHeads;
    // Captured steps keep the weights and the table they have seen: all must be there before.
    model.parameters.packWeights();
    this.#version = model.parameters.version;
    model.table.reserve(Math.min(capacity, maxPositionEmbeddings));
    const { device, dtype } = model;
    this.#cache = new KvCache(device, { layers: numHiddenLayers, kvHeads, headDim, capacity, dtype });
    this.#inputs = new StepInputs(model.device, needsHistory(sampling) ? capacity : null);
    this.#drafter =
      maxDepth > 0 ? makeDrafter(model, { depth: maxDepth, capacity, inputs: this.#inputs }) : null;
  }

  /** Whether it decodes as a new one would that is made with these options. */
  serves({ sampling, maxDepth, capacity }: DecoderOptions): boolean {
    const { model, options } = this;
    if (this.#version !== model.parameters.version || maxDepth !== options.maxDepth) return false;
    return capacity <= options.capacity && isSame(options.sampling, sampling);
  }

  /** Forgets its text, as a new one has none. */
  reset(): void {
    this.#cache.truncate(0, 0);
    this.#drafter?.reset();
    this.#tokens.length = this.#promptLength = this.#drawnAt = 0;
  }

  /** Prompt and output so far. */
  get length(): number {
    return this.#tokens.length;
  }

  /** Reads the prompt: all of it but its last token, which is the first root. */
  async prefill(prompt: ArrayLike<number>): Promise<void> {
    if (prompt.length === 0)
      throw new ForetokenError('INVALID_ARGUMENT', 'prompt must have at least one token');
    this.#append(Int32Array.from(prompt));
    this.#promptLength = prompt.length;
    for (let start = 0; start < prompt.length - 1; start += PREFILL_ROWS) {
      const count = Math.min(PREFILL_ROWS, prompt.length - 1 - start);
      noGrad(() => scope(() => this.#read(start, count)));
      // Lets the event loop and an abort in between the pieces of a long prompt.
      await this.model.device.synchronize();
    }
  }

  #read(start: number, count: number): void {
    const tokens = this.model.device.tensor(Int32Array.from(this.#tokens.slice(start, start + count)));
    const rows = chainRows(this.#cache, count);
    const z = this.model.trunk(tokens, rows);
    const hidden = this.model.nextTokenHidden(z, rows);
    this.#cache.advance([count]);
    this.#drafter?.see({ z, hidden });
    const path = Array.from({ length: count }, (_, row) => row);
    const following = Int32Array.from(this.#tokens.slice(start + 1, start + count + 1));
    this.#drafter?.commit({ z, hidden }, path, following);
    this.#drawnAt = count - 1;
  }

  /** One step with the given tree. */
  async step(plan: TreePlan): Promise<StepReport> {
    this.#inputs.write({
      root: this.#tokens.at(-1)!,
      length: this.#cache.lengths[0]!,
      drawnAt: this.#drawnAt,
      historyLength: this.#tokens.length,
      promptLength: this.#promptLength,
    });
    const step = this.#stepFor(plan);
    const [neighbour] = this.#steps.values();
    const states = step.run(plan, neighbour);
    const report = await step.report();
    const { path, tokens } = report;
    this.#cache.advance([path.length]);
    this.#append(tokens);
    this.#drawnAt = path.at(-1)!;
    noGrad(() => scope(() => this.#drafter?.commit(states, path, tokens)));
    return report;
  }

  #append(tokens: Int32Array): void {
    this.#inputs.extendHistory(this.#tokens.length, tokens);
    for (const token of tokens) this.#tokens.push(token);
  }

  #stepFor(plan: TreePlan): TreeStep {
    const form = PlanInputs.form(plan);
    const known = this.#steps.get(form);
    if (known) return known;
    const step = new TreeStep(
      {
        model: this.model,
        cache: this.#cache,
        inputs: this.#inputs,
        drafter: this.#drafter,
        sampling: this.options.sampling,
      },
      plan,
    );
    this.#steps.set(form, step);
    return step;
  }

  [Symbol.dispose](): void {
    for (const step of this.#steps.values()) step[Symbol.dispose]();
    this.#inputs[Symbol.dispose]();
    this.#cache.dispose();
    this.#drafter?.[Symbol.dispose]();
  }
}

function isSame(a: Required<SamplingOptions>, b: Required<SamplingOptions>): boolean {
  const { logitBias: biasA, ...restA } = a;
  const { logitBias: biasB, ...restB } = b;
  const hasNone = biasA.size === 0 && biasB.size === 0;
  return (
    hasNone && Object.entries(restA).every(([name, value]) => restB[name as keyof typeof restB] === value)
  );
}
