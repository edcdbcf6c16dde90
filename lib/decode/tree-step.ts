import type { MtpModel } from '../model/model';
import type { KvCache } from '../nn/kv-cache';
import { noGrad } from '../tensor/autograd';
import { capture, type Capture } from '../tensor/capture';
import type { SamplingOptions } from '../tensor/ops/sampling/sampling';
import { plantTree, verifyTree } from '../tensor/ops/sampling/verify-tree';
import { keep, scope } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import type { Drafter } from './drafter';
import { MARKS, StepClock, type PhaseSeconds } from './step-clock';
import { draftWidth, PlanInputs, type StepInputs } from './step-inputs';
import type { TreePlan } from './tree-plan';

/** What all steps of a decoder work on. */
export interface StepContext {
  model: MtpModel;
  cache: KvCache;
  inputs: StepInputs;
  drafter: Drafter | null;
  sampling: SamplingOptions;
}

/** The states of a step's rows: valid until it runs again. */
type StepOutputs = Record<'z' | 'hidden', Tensor>;

/** All that the host learns of a step. */
export interface StepReport {
  /** Accepted nodes of the tree, root first. */
  path: number[];
  /** The token drawn at each of them. */
  tokens: Int32Array;
  seconds: PhaseSeconds;
  /** Whether the step was captured for it, and so ran on memory that no cache has seen: its time says little. */
  isFirst: boolean;
}

/**
 * One decoding step with trees of one form: draft, forward, verify, compact. Its operations are the same every time, so
 * they are captured once, and a step is one call.
 */
export class TreeStep implements Disposable {
  readonly #plan: PlanInputs;
  readonly #report: Tensor;
  /** Where a drafter that cannot be captured puts its drafts. */
  readonly #drafts: Tensor | null;
  readonly #maxDepth: number;
  readonly #width: number;
  #capture: Capture<StepOutputs> | null = null;
  #isFirst = true;

  constructor(
    private readonly context: StepContext,
    plan: TreePlan,
  ) {
    const { device } = context.model;
    this.#plan = new PlanInputs(device, plan);
    this.#maxDepth = plan.maxDepth;
    this.#width = Math.min(draftWidth(plan), context.model.config.vocabSize);
    // Timestamps, count, path, drawn tokens.
    this.#report = keep(device.empty([MARKS + 1 + 2 * (plan.maxDepth + 1)], 'int32'));
    const apart = plan.maxDepth > 0 && !context.drafter!.capturable;
    this.#drafts = apart ? keep(device.empty([1, context.drafter!.depth, this.#width], 'int32')) : null;
  }

  /** Memory for captured operations that others may use, too. */
  get captured(): Capture<StepOutputs> | null {
    return this.#capture;
  }

  /**
   * Enqueues the step.
   * @param plan of this step's form
   * @param neighbour another step that never runs at the same time
   */
  run(plan: TreePlan, neighbour: TreeStep | undefined): StepOutputs {
    this.#plan.plan = plan;
    const clock = new StepClock(this.#report);
    clock.mark();
    if (this.#drafts) noGrad(() => scope(() => this.#drafts!.copyFrom(this.#draft())));
    this.#isFirst = this.#capture === null;
    this.#capture ??= capture(this.context.model.device, () => this.#enqueue(clock), {
      sharesMemoryWith: neighbour?.captured ?? undefined,
    });
    this.#capture.replay();
    return this.#capture.result;
  }

  async report(): Promise<StepReport> {
    const report = (await this.#report.data()) as Int32Array;
    const count = report[MARKS]!;
    const start = MARKS + 1;
    const drawn = start + this.#maxDepth + 1;
    return {
      path: Array.from(report.subarray(start, start + count)),
      tokens: report.slice(drawn, drawn + count),
      seconds: StepClock.seconds(report.subarray(0, MARKS)),
      isFirst: this.#isFirst,
    };
  }

  #enqueue(clock: StepClock): StepOutputs {
    const { model, cache, inputs, drafter, sampling } = this.context;
    const tree = this.#plan.treeAt(inputs.length);
    const { tokens, positions } = this.#plant();
    clock.mark();
    const rows = { kind: 'cached', cache, tree, positions } as const;
    const z = model.trunk(tokens, rows);
    const hidden = model.nextTokenHidden(z, rows);
    drafter?.see({ z, hidden });
    clock.mark();
    const { path, drawn, counts } = verifyTree({
      hidden,
      weight: model.unembeddingFor(hidden),
      tokens,
      tree,
      maxDepth: this.#maxDepth,
      sampling,
      history: inputs.history ?? undefined,
    });
    clock.mark();
    cache.compact(tree, path, counts);
    clock.mark();
    let at = MARKS;
    for (const part of [counts, path, drawn]) {
      this.#report.view(at, part.shape).copyFrom(part);
      at += part.size;
    }
    return { z, hidden };
  }

  /** Tokens and positions of the tree's nodes. */
  #plant(): { tokens: Tensor; positions: Tensor } {
    const { root, length } = this.context.inputs;
    if (this.#maxDepth === 0) return { tokens: root, positions: length };
    const { depths, ranks, rowOffsets } = this.#plan;
    const drafts = this.#drafts ?? this.#draft();
    return plantTree({ roots: root, drafts, depths, ranks, rowOffsets, lengths: length });
  }

  #draft(): Tensor {
    return this.context.drafter!.draft(this.#maxDepth, this.#width);
  }

  [Symbol.dispose](): void {
    this.#capture?.dispose();
    this.#report.dispose();
    this.#drafts?.dispose();
    this.#plan[Symbol.dispose]();
  }
}
