import { ForetokenError } from '../errors';
import type { RankPathStatistics } from './rank-path-statistics';

/**
 * The shape of a draft tree. Node 0 is the root, the last committed token; every other node holds one of the tokens that the
 * head of its depth drafted. Plans are immutable.
 */
export interface TreePlan {
  /** [nodes]: -1 for the root, otherwise an earlier node. */
  readonly parents: Int32Array;
  /** [nodes]: 0 for the root. */
  readonly depths: Int32Array;
  /** [nodes]: which of the drafted tokens of its depth a node holds, 0 the likeliest. */
  readonly ranks: Int32Array;
  readonly maxDepth: number;
  /** How many drafted tokens a depth must offer, at least 1. */
  readonly width: number;
}

interface Node {
  parent: number;
  depth: number;
  rank: number;
}

const ROOT: Node = { parent: -1, depth: 0, rank: 0 };

function plan(nodes: readonly Node[]): TreePlan {
  return {
    parents: Int32Array.from(nodes, ({ parent }) => parent),
    depths: Int32Array.from(nodes, ({ depth }) => depth),
    ranks: Int32Array.from(nodes, ({ rank }) => rank),
    maxDepth: Math.max(...nodes.map(({ depth }) => depth)),
    width: 1 + Math.max(...nodes.map(({ rank }) => rank)),
  };
}

/** The likeliest token of each depth, one after another. */
export function chain(depth: number): TreePlan {
  return full(new Array<number>(depth).fill(1));
}

/** widths[i] alternatives at depth i+1, under every node above. */
export function full(widths: readonly number[]): TreePlan {
  const nodes: Node[] = [ROOT];
  let level = [0];
  widths.forEach((width, index) => {
    if (!Number.isInteger(width) || width < 1) {
      throw new ForetokenError(
        'INVALID_ARGUMENT',
        `full: widths[${index}] must be a positive integer, but is ${width}`,
      );
    }
    level = level.flatMap((parent) =>
      Array.from({ length: width }, (_, rank) => nodes.push({ parent, depth: index + 1, rank }) - 1),
    );
  });
  return plan(nodes);
}

/**
 * The `nodes` draft nodes that are likeliest to be accepted, by the joint acceptance of their rank paths. As a child is
 * never likelier than its parent, taking the best node again and again gives the best tree.
 */
export function best(nodes: number, statistics: RankPathStatistics): TreePlan {
  const chosen: (Node & { path: readonly number[] })[] = [{ ...ROOT, path: [] }];
  const candidates: (Node & { path: readonly number[]; acceptance: number })[] = [];
  const offer = (parent: number, rank: number): void => {
    const { depth, path: above } = chosen[parent]!;
    const path = [...above, rank];
    const acceptance = statistics.acceptance(path);
    if (acceptance > 0) candidates.push({ parent, depth: depth + 1, rank, path, acceptance });
  };
  offer(0, 0);
  while (chosen.length <= nodes && candidates.length > 0) {
    // First among equals, so that the plan does not depend on anything but the statistics.
    const next = candidates.reduce((a, b) => (b.acceptance > a.acceptance ? b : a));
    candidates.splice(candidates.indexOf(next), 1);
    const index = chosen.push(next) - 1;
    offer(next.parent, next.rank + 1);
    offer(index, 0);
  }
  return plan(chosen);
}

/** Tokens that a step with this tree is expected to commit: the one that is always drawn, and the accepted drafts. */
export function expectedTokens(tree: TreePlan, statistics: RankPathStatistics): number {
  const paths: (readonly number[])[] = [];
  let expected = 1;
  tree.parents.forEach((parent, node) => {
    paths.push(parent < 0 ? [] : [...paths[parent]!, tree.ranks[node]!]);
    if (parent >= 0) expected += statistics.acceptance(paths[node]!);
  });
  return expected;
}

/** A tree plan for library users. */
export type TreeShape =
  | { tree: 'chain'; depth: number }
  | { tree: 'full'; widths: readonly number[] }
  | { tree: 'best'; nodes: number; statistics: RankPathStatistics };

/** Plans a draft tree: a chain, a full tree, or the best one under acceptance statistics. */
export function buildTree(shape: TreeShape): TreePlan {
  switch (shape.tree) {
    case 'chain':
      return chain(shape.depth);
    case 'full':
      return full(shape.widths);
    case 'best':
      return best(shape.nodes, shape.statistics);
  }
}
