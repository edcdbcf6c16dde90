import type { Device } from '../tensor/device';
import type { TreeRows } from '../tensor/ops/attention/kv-cache';
import type { DeviceHistory } from '../tensor/ops/sampling/verify-tree';
import { keep } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import type { TreePlan } from './tree-plan';

/** What the host tells the device before a step, in the order of the tensor. */
interface StepState {
  /** The last committed token: the root of the tree. */
  root: number;
  /** Committed positions in the cache, the root's not among them. */
  length: number;
  /** Row of the step before at which the root was drawn. */
  drawnAt: number;
  /** Tokens of prompt and output, the root the last one. */
  historyLength: number;
  promptLength: number;
}

/** The inputs of a decoding step that change from one step to the next: few enough for one small upload. */
export class StepInputs implements Disposable {
  readonly root: Tensor;
  readonly length: Tensor;
  readonly drawnAt: Tensor;
  /** The position of that row: the last committed one. */
  readonly position: Tensor;
  /** Prompt and output, for penalties; null when nothing needs them. */
  readonly history: DeviceHistory | null = null;
  readonly #state: Tensor;
  readonly #tensors: Tensor[];

  /** @param capacity tokens there must be room for in the history; null without one */
  constructor(device: Device, capacity: number | null) {
    const make = (tensor: Tensor): Tensor => {
      this.#tensors.push(keep(tensor));
      return tensor;
    };
    this.#tensors = [];
    this.#state = make(device.tensor(new Int32Array(6)));
    const field = (index: number): Tensor => make(this.#state.view(index, [1]));
    [this.root, this.length, this.drawnAt, this.position] = [field(0), field(1), field(2), field(3)];
    if (capacity !== null) {
      const tokens = make(device.tensor(new Int32Array(capacity), [1, capacity]));
      this.history = { tokens, lengths: field(4), promptLengths: field(5) };
    }
  }

  write({ root, length, drawnAt, historyLength, promptLength }: StepState): void {
    this.#state.write(Int32Array.of(root, length, drawnAt, length - 1, historyLength, promptLength));
  }

  /** Adds tokens to the history, behind the `start` that are there. */
  extendHistory(start: number, tokens: Int32Array): void {
    if (!this.history || tokens.length === 0) return;
    using room = this.history.tokens.view(start, [tokens.length]);
    room.write(tokens);
  }

  dispose(): void {
    for (const tensor of this.#tensors) tensor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Tokens to draft at each depth: a few more than a plan needs, so that more plans have the same form. */
export function draftWidth({ width }: TreePlan): number {
  return 2 ** Math.ceil(Math.log2(width));
}

/** A tree plan on the device. Plans of the same form take each other's place. */
export class PlanInputs implements Disposable {
  readonly depths: Tensor;
  readonly ranks: Tensor;
  readonly rowOffsets: Tensor;
  readonly #parents: Tensor;
  #plan: TreePlan;

  constructor(device: Device, plan: TreePlan) {
    this.#plan = plan;
    this.depths = keep(device.tensor(plan.depths));
    this.ranks = keep(device.tensor(plan.ranks));
    this.#parents = keep(device.tensor(plan.parents));
    this.rowOffsets = keep(device.tensor(Int32Array.of(0, plan.parents.length)));
  }

  /** What two plans have in common that can take each other's place. */
  static form(plan: TreePlan): string {
    return `${plan.parents.length}/${plan.maxDepth}/${draftWidth(plan)}`;
  }

  /** The tree, whose root follows `length` committed positions. */
  treeAt(length: Tensor): TreeRows {
    return { rowOffsets: this.rowOffsets, lengths: length, parents: this.#parents };
  }

  /** Takes over a plan of the same form. */
  set plan(plan: TreePlan) {
    if (plan === this.#plan) return;
    this.#plan = plan;
    this.depths.write(plan.depths);
    this.ranks.write(plan.ranks);
    this.#parents.write(plan.parents);
  }

  dispose(): void {
    for (const tensor of [this.depths, this.ranks, this.rowOffsets, this.#parents]) tensor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
