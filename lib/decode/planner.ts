import type { TreePlan } from './tree-plan';

/** The outcome of a step, from which a planner learns. */
export interface StepOutcome {
  plan: TreePlan;
  /** Accepted nodes, root first. */
  path: readonly number[];
  /** Wall-clock time from one step's end to the next one's. */
  seconds: number;
  /** The part of that time that the device took. */
  deviceSeconds: number;
  /** Whether the step was the first of its form, which takes longer than later ones. */
  isFirst: boolean;
}

/** Chooses the tree of every step. */
export interface Planner {
  /** Depth of the deepest tree that the planner will choose: how many heads must draft. */
  readonly maxDepth: number;
  next(): TreePlan;
  observe(outcome: StepOutcome): void;
}
