import type { Device } from '../tensor/device';
import type { TreeRows } from '../tensor/ops/attention/kv-cache';
import type { DeviceHistory } from '../tensor/ops/sampling/verify-tree';
import { keep } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import type { TreePlan } from './tree-plan';

/** Numbers that the host uploads before a step. */
interface StepState {
  /** The last committed token: the root of the tree. */
  root: number;
  /** Committed positions in the cache, without the root's. */
  length: number;
  /** Node of the previous step at which the root was drawn. */
  drawnAt: number;
  /** Tokens of prompt and output, the root included. */
  historyLength: number;
  promptLength: number;
}

/** Inputs of a decoding step that change with every step, in one small upload. */
export class StepInputs implements Disposable {
  readonly root: Tensor;
  readonly length: Tensor;
  readonly drawnAt: Tensor;
  /** Position of that node: the last committed one. */
  readonly position: Tensor;
  /** Prompt and output, for penalties; null without penalties. */
  readonly history: DeviceHistory | null = null;
  readonly #state: Tensor;
  readonly #tensors: Tensor[];

  /** @param capacity tokens of the history at most; null for no history */
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

  /** Appends tokens to a history of `start` tokens. */
  extendHistory(start: number, tokens: Int32Array): void {
    if (!this.history || tokens.length === 0) return;
    using target = this.history.tokens.view(start, [tokens.length]);
    target.write(tokens);
  }

  dispose(): void {
    for (const tensor of this.#tensors) tensor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Tokens to draft at each depth, rounded up to a power of two so that more plans have the same form. */
export function draftWidth({ width }: TreePlan): number {
  return 2 ** Math.ceil(Math.log2(width));
}

/** A tree plan on the device. A plan of the same form can replace it. */
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

  /** Returns the form of a plan: plans of equal form can replace each other. */
  static form(plan: TreePlan): string {
    return `${plan.parents.length}/${plan.maxDepth}/${draftWidth(plan)}`;
  }

  /** Returns the tree with its root after `length` committed positions. */
  treeAt(length: Tensor): TreeRows {
    return { rowOffsets: this.rowOffsets, lengths: length, parents: this.#parents };
  }

  /** Uploads a plan of the same form. */
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
