import { types } from 'node:util';
import { arrayOf, check, checker, instance, integer, required, variants, type Checker } from '../check';
import { RankPathStatistics } from './rank-path-statistics';
import type { TreePlan } from './tree-plan';

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

/** A tree of the likeliest token of each depth, one after another. */
export function chain(depth: number): TreePlan {
  return full(new Array<number>(depth).fill(1));
}

/** Counts the draft nodes of a {@link full} tree. */
export function countNodes(widths: readonly number[]): number {
  let level = 1;
  let nodes = 0;
  for (const width of widths) nodes += level *= width;
  return nodes;
}

/** A tree with widths[i] alternatives at depth i+1 under every node of depth i. */
export function full(widths: readonly number[]): TreePlan {
  const nodes: Node[] = [ROOT];
  let level = [0];
  widths.forEach((width, index) => {
    level = level.flatMap((parent) =>
      Array.from({ length: width }, (_, rank) => nodes.push({ parent, depth: index + 1, rank }) - 1),
    );
  });
  return plan(nodes);
}

/**
 * A tree of the `nodes` draft nodes that are likeliest to be accepted, by the joint acceptance of their rank paths. A child is
 * never likelier than its parent, so adding the likeliest child again and again gives the best tree of every size.
 */
export function best(nodes: number, statistics: RankPathStatistics): TreePlan {
  const chosen: RankedNode[] = [{ ...ROOT, acceptance: 1 }];
  const paths: number[][] = [[]];
  // Candidates: children of the nodes chosen so far, one for each rank that heads draft.
  const within: RankedNode[] = [];
  for (let parent = 0; ; parent++) {
    const { depth, acceptance } = chosen[parent]!;
    let rank = 0;
    for (const conditional of statistics.conditionals(paths[parent]!)) {
      within.push({ parent, depth: depth + 1, rank: rank++, acceptance: acceptance * conditional });
    }
    if (chosen.length > nodes || within.length === 0) return plan(chosen);
    // The first among equals, so that the plan depends on the statistics alone.
    let next = 0;
    for (let i = 1; i < within.length; i++) if (within[i]!.acceptance > within[next]!.acceptance) next = i;
    const [node] = within.splice(next, 1);
    chosen.push(node!);
    paths.push([...paths[node!.parent]!, node!.rank]);
  }
}

interface RankedNode extends Node {
  acceptance: number;
}

/**
 * Tokens that a step is expected to commit: the accepted drafts and the one token that is always drawn. Element n is for the
 * root and the first n draft nodes.
 */
export function expectedTokensBySize(tree: TreePlan, statistics: RankPathStatistics): number[] {
  const nodes: { path: readonly number[]; acceptance: number }[] = [];
  const expected: number[] = [];
  tree.parents.forEach((parent, node) => {
    const above = nodes[parent];
    const path = above ? [...above.path, tree.ranks[node]!] : [];
    const acceptance = above ? above.acceptance * statistics.conditional(path) : 1;
    nodes.push({ path, acceptance });
    expected.push((expected.at(-1) ?? 0) + acceptance);
  });
  return expected;
}

const TREE_PLAN: Checker<TreePlan> = checker('a TreePlan, as buildTree makes it', (value) => {
  if (typeof value !== 'object' || value === null) return false;
  const { parents, depths, ranks } = value as TreePlan;
  const sizes = [parents, depths, ranks].map((each) => (types.isInt32Array(each) ? each.length : 0));
  return sizes.every((size) => size === sizes[0] && size > 0) && parents.every((parent, i) => parent < i);
});

/**
 * Returns the number of tokens that a step with this tree is expected to commit.
 * @throws ForetokenError INVALID_ARGUMENT naming the argument
 */
export function expectedTokens(tree: TreePlan, statistics: RankPathStatistics): number {
  check('expectedTokens: tree', tree, TREE_PLAN);
  check('expectedTokens: statistics', statistics, instance(RankPathStatistics));
  return expectedTokensBySize(tree, statistics).at(-1)!;
}

/** A description of a tree for {@link buildTree}. */
export type TreeShape =
  | {
      /** The likeliest token of each depth, one after another. */
      tree: 'chain';
      /** Number of draft nodes. */
      depth: number;
    }
  | {
      /** The same number of alternatives under every node of a depth. */
      tree: 'full';
      /** widths[i] alternatives at depth i+1. */
      widths: readonly number[];
    }
  | {
      /** The nodes that are likeliest to be accepted. */
      tree: 'best';
      /** Draft nodes, the root not counted. */
      nodes: number;
      /** Acceptance of each path so far. */
      statistics: RankPathStatistics;
    };

/** Most nodes of a planned tree: far more than kernels verify at once, and more than pays. */
const MAX_PLANNED_NODES = 4096;

const nodes = integer(0, MAX_PLANNED_NODES);

const TREE_SHAPE = variants<TreeShape, 'tree'>('tree', {
  chain: { depth: required(nodes) },
  full: { widths: required(arrayOf(integer(1, MAX_PLANNED_NODES), MAX_PLANNED_NODES)) },
  best: { nodes: required(nodes), statistics: required(instance(RankPathStatistics)) },
});

/**
 * Plans a draft tree of at most 4096 draft nodes: a chain, a full tree, or the best tree under acceptance statistics.
 * @throws ForetokenError INVALID_ARGUMENT naming the option, what was given and what is allowed
 */
export function buildTree(shape: TreeShape): TreePlan {
  const checked = check('buildTree: shape', shape, TREE_SHAPE);
  switch (checked.tree) {
    case 'chain':
      return chain(checked.depth);
    case 'full':
      check('buildTree: nodes of shape.widths', countNodes(checked.widths), nodes);
      return full(checked.widths);
    case 'best':
      return best(checked.nodes, checked.statistics);
  }
}
