import { ForetokenError } from '../errors';
import type { MtpModel } from '../model/model';
import type { HostArray } from '../native/binding';
import { KvCache } from '../nn/kv-cache';
import type { CachedRows } from '../nn/rows';
import { noGrad } from '../tensor/autograd';
import { embedding } from '../tensor/ops/embedding';
import { plantTree, verifyTree } from '../tensor/ops/verify-tree';
import type { SamplingOptions } from '../tensor/ops/sampling';
import { scope } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import { makeDrafter, type Drafter } from './drafter';
import { chainRows, oneIndex, treeRows } from './rows';
import { MARKS, StepClock, type PhaseSeconds } from './step-clock';
import type { TreePlan } from './tree';

/** Prompt tokens that go through the model at a time. */
const PREFILL_ROWS = 64;

export interface DecoderOptions {
  sampling: SamplingOptions;
  /** How many heads will draft, at most: the depth of the deepest tree. */
  maxDepth: number;
  /** Positions there must be room for: prompt, output and the nodes of one tree. */
  capacity: number;
}

export interface StepResult {
  /** Tokens committed by this step: accepted drafts, then the one that verifying drew itself. */
  tokens: Int32Array;
  /** Accepted nodes of the tree, root first; as many as tokens. */
  path: number[];
  seconds: PhaseSeconds;
}

/**
 * Decodes one sequence step by step: draft, tree forward, verify, commit, with one small readback at the end. Which tree is
 * used changes how many tokens a step commits, but never which.
 */
export class Decoder implements Disposable {
  readonly #cache: KvCache;
  readonly #drafter: Drafter | null;
  /** Prompt and output; the last one is the root of the next tree, not yet in the cache. */
  readonly #tokens: number[] = [];
  #promptLength = 0;

  constructor(
    private readonly model: MtpModel,
    private readonly options: DecoderOptions,
  ) {
    const { numHiddenLayers, numKeyValueHeads, headDim } = model.config;
    const { capacity, maxDepth } = options;
    const kvHeads = numKeyValueHeads;
    this.#cache = new KvCache(model.device, { layers: numHiddenLayers, kvHeads, headDim, capacity });
    this.#drafter = maxDepth > 0 ? makeDrafter(model, maxDepth, capacity) : null;
  }

  /** Prompt and output so far. */
  get length(): number {
    return this.#tokens.length;
  }

  /** Reads the prompt: all of it but its last token, which is the first root. */
  async prefill(prompt: ArrayLike<number>): Promise<void> {
    if (prompt.length === 0)
      throw new ForetokenError('INVALID_ARGUMENT', 'prompt must have at least one token');
    this.#tokens.push(...Array.from(prompt));
    this.#promptLength = prompt.length;
    for (let start = 0; start < prompt.length - 1; start += PREFILL_ROWS) {
      const count = Math.min(PREFILL_ROWS, prompt.length - 1 - start);
      this.#run(() => {
        this.model.table.reserve(start + count);
        const tokens = this.model.device.tensor(Int32Array.from(this.#tokens.slice(start, start + count)));
        const { z, hidden } = this.#forward(tokens, chainRows(this.#cache, count));
        this.#cache.advance([count]);
        const following = Int32Array.from(this.#tokens.slice(start + 1, start + count + 1));
        this.#drafter?.commit({ z, hidden, tokens: following });
      });
      // Lets the event loop and an abort in between the pieces of a long prompt.
      await this.model.device.synchronize();
    }
  }

  /** One step with the given tree. */
  async step(plan: TreePlan): Promise<StepResult> {
    const out = this.#run(() => this.#enqueueStep(plan));
    try {
      const { marks, path, tokens } = readReport(await out.report.data(), plan);
      this.#cache.advance([path.length]);
      this.#tokens.push(...tokens);
      if (this.#drafter) this.#run(() => this.#handToDrafter(out, path, tokens));
      return { tokens, path, seconds: StepClock.seconds(marks) };
    } finally {
      for (const tensor of Object.values(out)) tensor.dispose();
    }
  }

  #enqueueStep(plan: TreePlan): Record<'z' | 'hidden' | 'report', Tensor> {
    this.model.table.reserve(this.#cache.lengths[0]! + plan.maxDepth + 1);
    const report = this.model.device.empty([reportSize(plan)], 'int32');
    const clock = new StepClock(report);
    clock.mark();
    const rows = treeRows(this.#cache, plan);
    const tokens = this.#plant(plan, rows);
    clock.mark();
    const { z, hidden } = this.#forward(tokens, rows);
    clock.mark();
    const { path, drawn, counts } = verifyTree({
      hidden,
      weight: this.model.unembeddingFor(hidden),
      tokens,
      tree: rows.tree,
      maxDepth: plan.maxDepth,
      sampling: this.options.sampling,
      history: [{ tokens: this.#tokens, promptLength: this.#promptLength }],
    });
    clock.mark();
    this.#cache.compact(rows.tree, path, counts);
    clock.mark();
    let at = MARKS;
    for (const part of [counts, path, drawn]) {
      report.view(at, part.shape).copyFrom(part);
      at += part.size;
    }
    return { z, hidden, report };
  }

  /** The tokens of the tree's nodes. */
  #plant(plan: TreePlan, rows: CachedRows): Tensor {
    const { device } = this.model;
    const root = oneIndex(device, this.#tokens.at(-1)!);
    if (!this.#drafter || plan.maxDepth === 0) return root;
    return plantTree({
      roots: root,
      drafts: this.#drafter.draft(plan.width),
      depths: device.tensor(plan.depths),
      ranks: device.tensor(plan.ranks),
      rowOffsets: rows.tree.rowOffsets,
    });
  }

  #forward(tokens: Tensor, rows: CachedRows): { z: Tensor; hidden: Tensor } {
    const z = this.model.trunk(tokens, rows);
    return { z, hidden: this.model.nextTokenHidden(z, rows) };
  }

  #handToDrafter(out: { z: Tensor; hidden: Tensor }, path: readonly number[], tokens: Int32Array): void {
    const index = this.model.device.tensor(Int32Array.from(path));
    // Gathering rows is what an embedding does.
    this.#drafter!.commit({ z: embedding(index, out.z), hidden: embedding(index, out.hidden), tokens });
  }

  #run<T>(fn: () => T): T {
    return noGrad(() => scope(fn));
  }

  [Symbol.dispose](): void {
    this.#cache.dispose();
    this.#drafter?.[Symbol.dispose]();
  }
}

/** All that the host learns of a step, in one readback: timestamps, count, path, drawn tokens. */
function reportSize(plan: TreePlan): number {
  return MARKS + 1 + 2 * (plan.maxDepth + 1);
}

function readReport(
  report: HostArray,
  plan: TreePlan,
): { marks: HostArray; path: number[]; tokens: Int32Array } {
  const count = report[MARKS]!;
  const start = MARKS + 1;
  const drawn = start + plan.maxDepth + 1;
  return {
    marks: report.subarray(0, MARKS),
    path: Array.from(report.subarray(start, start + count)),
    tokens: Int32Array.from(report.subarray(drawn, drawn + count)),
  };
}
