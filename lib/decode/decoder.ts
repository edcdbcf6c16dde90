import { ForetokenError } from '../errors';
import type { MtpModel } from '../model/model';
import { KvCache } from '../nn/kv-cache';
import { noGrad } from '../tensor/autograd';
import { packSampling, type DeviceSampling } from '../tensor/ops/sampling/device-sampling';
import type { SamplingOptions } from '../tensor/ops/sampling/sampling';
import { scope } from '../tensor/scope';
import type { Drafter } from './drafter';
import { makeDrafter } from './make-drafter';
import { nextPositions } from './next-positions';
import { PlanInputs, StepInputs } from './step-inputs';
import type { StepReport } from './step-report';
import type { TreePlan } from './tree-plan';
import { TreeStep } from './tree-step';

/** Prompt tokens in one forward pass. */
const PREFILL_TOKENS = 64;

export interface DecoderOptions {
  /** Checked, with defaults filled in. */
  sampling: Required<SamplingOptions>;
  /** Depth of the deepest tree: how many heads draft at most. */
  maxDepth: number;
  /** Positions of the KV cache: prompt, output and the nodes of one tree. */
  capacity: number;
}

/**
 * Decodes one sequence step by step: draft, forward, verify, commit, and one small readback at the end. The tree of a step
 * changes how many tokens the step commits, never which.
 */
export class Decoder implements Disposable {
  readonly #cache: KvCache;
  readonly #drafter: Drafter | null;
  readonly #inputs: StepInputs;
  readonly #sampling: DeviceSampling;
  /** Captured steps, by the form of their plans. */
  readonly #steps = new Map<string, TreeStep>();
  /** Prompt and output; the last token is the root of the next tree and not yet in the cache. */
  readonly #tokens: number[] = [];
  /** Version of the weights that captured steps read. */
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
    // A captured step keeps reading the tensors it was captured with: weights and table must be complete before the first.
    model.parameters.packWeights();
    this.#version = model.parameters.version;
    model.table.reserve(Math.min(capacity, maxPositionEmbeddings));
    const { device, dtype } = model;
    this.#cache = new KvCache(device, { layers: numHiddenLayers, kvHeads, headDim, capacity, dtype });
    this.#cache.reserve(0, capacity);
    this.#sampling = packSampling(device, [sampling]);
    this.#inputs = new StepInputs(device, this.#sampling.needs === 'history' ? capacity : null);
    this.#drafter =
      maxDepth > 0 ? makeDrafter(model, { depth: maxDepth, capacity, inputs: this.#inputs }) : null;
  }

  /** Whether this decoder can stand in for a new one with these options. */
  serves({ sampling, maxDepth, capacity }: DecoderOptions): boolean {
    const { model, options } = this;
    if (this.#version !== model.parameters.version || maxDepth !== options.maxDepth) return false;
    return capacity <= options.capacity && isSame(options.sampling, sampling);
  }

  /** Forgets the text. */
  reset(): void {
    this.#cache.truncate(0, 0);
    this.#drafter?.reset();
    this.#tokens.length = this.#promptLength = this.#drawnAt = 0;
  }

  /** Tokens of prompt and output so far. */
  get length(): number {
    return this.#tokens.length;
  }

  /** Runs the prompt through the model, except its last token, which is the first root. */
  async prefill(prompt: ArrayLike<number>): Promise<void> {
    if (prompt.length === 0)
      throw new ForetokenError('INVALID_ARGUMENT', 'prompt must have at least one token');
    this.#append(Int32Array.from(prompt));
    this.#promptLength = prompt.length;
    for (let start = 0; start < prompt.length - 1; start += PREFILL_TOKENS) {
      const count = Math.min(PREFILL_TOKENS, prompt.length - 1 - start);
      noGrad(() => scope(() => this.#read(start, count)));
      // Let the event loop run, and with it an abort, between the pieces of a long prompt.
      await this.model.device.synchronize();
    }
  }

  #read(start: number, count: number): void {
    const tokens = this.model.device.tensor(Int32Array.from(this.#tokens.slice(start, start + count)));
    const rows = nextPositions(this.#cache, count);
    const states = this.model.states(tokens, rows);
    this.#cache.advance([count]);
    this.#drafter?.see(states);
    const path = Array.from({ length: count }, (_, i) => i);
    const following = Int32Array.from(this.#tokens.slice(start + 1, start + count + 1));
    this.#drafter?.commit(states, path, following);
    this.#drawnAt = count - 1;
  }

  /** Runs one step with the given tree. */
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
        sampling: this.#sampling,
      },
      plan,
    );
    this.#steps.set(form, step);
    return step;
  }

  dispose(): void {
    for (const step of this.#steps.values()) step.dispose();
    this.#inputs.dispose();
    this.#sampling.dispose();
    this.#cache.dispose();
    this.#drafter?.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Whether two sets of options draw alike. Those with a logit bias never count as equal: their maps are not compared. */
function isSame(a: Required<SamplingOptions>, b: Required<SamplingOptions>): boolean {
  const { logitBias: biasA, ...restA } = a;
  const { logitBias: biasB, ...restB } = b;
  const hasNone = biasA.size === 0 && biasB.size === 0;
  return (
    hasNone && Object.entries(restA).every(([name, value]) => restB[name as keyof typeof restB] === value)
  );
}
