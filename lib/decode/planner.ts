import type { TreePlan } from './tree-plan';

/** What a step did, for whoever plans the next one. */
export interface StepOutcome {
  plan: TreePlan;
  /** Accepted nodes, root first. */
  path: readonly number[];
  /** Wall-clock time from one step's end to the next one's. */
  seconds: number;
  /** The device's part of it. */
  deviceSeconds: number;
  /** Whether it was the first of its form, which takes longer than those that follow. */
  isFirst: boolean;
}

/** Chooses the tree of every step. */
export interface Planner {
  /** Deepest tree this planner will ever ask for: how many heads must draft. */
  readonly maxDepth: number;
  next(): TreePlan;
  observe(outcome: StepOutcome): void;
}
