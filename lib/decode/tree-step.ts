import type { MtpModel, TrunkStates } from '../model/model';
import type { KvCache } from '../nn/kv-cache';
import { noGrad } from '../tensor/autograd';
import { capture, type Capture } from '../tensor/capture';
import type { DeviceSampling } from '../tensor/ops/sampling/device-sampling';
import { plantTree, verifyTree } from '../tensor/ops/sampling/verify-tree';
import { keep, scope } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import type { Drafter } from './drafter';
import type { StepClock } from './step-clock';
import { draftWidth, PlanInputs, type StepInputs } from './step-inputs';
import { ReportBuffer, type StepReport } from './step-report';
import type { TreePlan } from './tree-plan';

/** Parts of a decoder that all its steps share. */
export interface StepContext {
  model: MtpModel;
  cache: KvCache;
  inputs: StepInputs;
  drafter: Drafter | null;
  sampling: DeviceSampling;
}

/**
 * One decoding step with trees of one form: draft, forward, verify, commit. Its operations are the same every time, so
 * they are captured once, and each step is one call.
 */
export class TreeStep implements Disposable {
  readonly #plan: PlanInputs;
  readonly #report: ReportBuffer;
  /** Drafts of a drafter that cannot be captured. */
  readonly #drafts: Tensor | null;
  readonly #maxDepth: number;
  readonly #width: number;
  #capture: Capture<TrunkStates> | null = null;
  #isFirst = true;

  constructor(
    private readonly context: StepContext,
    plan: TreePlan,
  ) {
    const { device } = context.model;
    this.#plan = new PlanInputs(device, plan);
    this.#maxDepth = plan.maxDepth;
    this.#width = Math.min(draftWidth(plan), context.model.config.vocabSize);
    this.#report = new ReportBuffer(device, plan.maxDepth);
    const apart = plan.maxDepth > 0 && !context.drafter!.capturable;
    this.#drafts = apart ? keep(device.empty([1, context.drafter!.depth, this.#width], 'int32')) : null;
  }

  /** The captured operations, whose memory other steps may share. */
  get captured(): Capture<TrunkStates> | null {
    return this.#capture;
  }

  /**
   * Enqueues the step.
   * @param plan a plan of this step's form
   * @param neighbour another step that never runs at the same time
   * @returns the states of the tree's nodes, valid until the step runs again
   */
  run(plan: TreePlan, neighbour: TreeStep | undefined): TrunkStates {
    this.#plan.plan = plan;
    const clock = this.#report.clock();
    clock.mark();
    if (this.#drafts) noGrad(() => scope(() => this.#drafts!.copyFrom(this.#draft())));
    this.#isFirst = this.#capture === null;
    this.#capture ??= capture(this.context.model.device, () => this.#enqueue(clock), {
      sharesMemoryWith: neighbour?.captured ?? undefined,
    });
    this.#capture.replay();
    return this.#capture.result;
  }

  /** Waits for the step and reads its report. */
  async report(): Promise<StepReport> {
    return { ...(await this.#report.read()), isFirst: this.#isFirst };
  }

  #enqueue(clock: StepClock): TrunkStates {
    const { model, cache, inputs, drafter, sampling } = this.context;
    const tree = this.#plan.treeAt(inputs.length);
    const { tokens, positions } = this.#plant();
    clock.mark();
    const rows = { kind: 'cached', cache, tree, positions } as const;
    const states = model.states(tokens, rows);
    const { hidden } = states;
    drafter?.see(states);
    clock.mark();
    const verified = verifyTree({
      hidden,
      weight: model.unembeddingFor(hidden),
      tokens,
      tree,
      maxDepth: this.#maxDepth,
      sampling,
      history: inputs.history ?? undefined,
    });
    clock.mark();
    cache.compact(tree, verified.path, verified.counts);
    clock.mark();
    this.#report.write(verified);
    return states;
  }

  /** Returns tokens and positions of the tree's nodes. */
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

  dispose(): void {
    this.#capture?.dispose();
    this.#report.dispose();
    this.#drafts?.dispose();
    this.#plan.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
