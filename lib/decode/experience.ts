import type { MtpModel } from '../model/model';
import { DraftBudget } from './draft-budget';
import { HeadAcceptance } from './head-acceptance';
import { MOST_ROWS } from './step-form';

/** Numbers of rows that a budget chooses between: few enough to measure each of them in a short text. */
const SIZES = [1, 2, 3, 5, 9, 17, 33, 64, 128, MOST_ROWS];

/** Estimates of speculation with a model, which all its texts share. */
export interface Experience {
  readonly budget: DraftBudget;
  /** Null without heads that draft. */
  readonly heads: HeadAcceptance | null;
}

const experiences = new WeakMap<MtpModel, Experience>();

/** Returns the estimates for a model so far. */
export function experienceWith(model: MtpModel): Experience {
  const depth = model.numHeads - 1;
  const known = experiences.get(model) ?? {
    budget: new DraftBudget(SIZES),
    heads: depth > 0 ? new HeadAcceptance(depth) : null,
  };
  experiences.set(model, known);
  return known;
}
