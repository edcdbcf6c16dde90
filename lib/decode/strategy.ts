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
const ROOT_ONLY: TreePlan = chain(0);

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
