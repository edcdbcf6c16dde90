import type { MtpModel } from '../model/model';
import { DraftBudget } from './draft-budget';
import { HeadAcceptance } from './head-acceptance';
import type { Speculation } from './options';
import { chain, full } from './tree';
import type { TreePlan } from './tree-plan';

/** How a text chooses its draft trees. */
export type Strategy =
  /** The same tree of heads' drafts at every step. */
  | { readonly kind: 'plan'; readonly plan: TreePlan }
  /** The likeliest drafts of all sources: always so many. */
  | { readonly kind: 'best'; readonly nodes: number }
  /** As many of them, at most, as pay. */
  | { readonly kind: 'adaptive'; readonly nodes: number };

/** The tree of plain decoding. */
export const ROOT_ONLY: TreePlan = chain(0);

/** Makes the strategy for a kind of speculation. */
export function strategyOf(speculation: Speculation, numHeads: number): Strategy {
  if (speculation === 'none') return { kind: 'plan', plan: ROOT_ONLY };
  switch (speculation.tree) {
    case 'chain':
      return { kind: 'plan', plan: chain(speculation.depth ?? numHeads - 1) };
    case 'full':
      return { kind: 'plan', plan: full(speculation.widths) };
    case 'best':
      return { kind: 'best', nodes: speculation.nodes ?? 8 };
    case 'adaptive':
      return { kind: 'adaptive', nodes: speculation.maxNodes ?? 16 };
  }
}

/** Numbers of rows that a budget chooses between: few enough to measure each of them in a short text. */
const SIZES = [1, 2, 3, 5, 9, 17, 33, 64, 128, 256];

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
