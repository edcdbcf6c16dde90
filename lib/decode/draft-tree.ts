import type { TreePlan } from './tree-plan';

/**
 * A tree of drafted tokens below the last committed token. Trees are immutable. They are small and made for every step, and small
 * arrays are made faster than typed arrays.
 */
export interface DraftTree {
  /** `[nodes]`: the token of each node. That of node 0, the root, is the last committed token. */
  readonly tokens: readonly number[];
  /** `[nodes]`: an earlier node; -1 for the root. */
  readonly parents: readonly number[];
  /** `[nodes]`: 0 for the root. */
  readonly depths: readonly number[];
  /** Depth of the deepest node. */
  readonly maxDepth: number;
}

/** Tokens that heads proposed for the positions after the root. */
export interface HeadDrafts {
  /** Number of positions: how many heads drafted. */
  readonly depth: number;
  /** Tokens of each position. */
  readonly width: number;
  /** `[depth, width]`: the likeliest token of each position first. */
  readonly tokens: readonly number[];
  /** `[depth, width]`, in 0 … 1: softmax of the logits by which the head chose, with the noise of the draw if there is any. */
  readonly weights: readonly number[];
}

/** Builds a tree in which no two children of a node hold the same token. */
export class DraftTreeBuilder {
  readonly #tokens: number[];
  readonly #parents = [-1];
  readonly #depths = [0];
  /** The first child of each node, and the next child of the same parent; 0 for none. */
  readonly #firstChild = [0];
  readonly #nextSibling = [0];

  /** @param root the last committed token */
  constructor(root: number) {
    this.#tokens = [root];
  }

  /** Number of nodes, the root included. */
  get size(): number {
    return this.#tokens.length;
  }

  depthOf(node: number): number {
    return this.#depths[node]!;
  }

  /** Returns the child of a node that holds this token; 0 without one. */
  child(parent: number, token: number): number {
    let node = this.#firstChild[parent]!;
    while (node > 0 && this.#tokens[node] !== token) node = this.#nextSibling[node]!;
    return node;
  }

  /** Returns the child of a node that holds this token, and adds it if there is none. */
  add(parent: number, token: number): number {
    const known = this.child(parent, token);
    if (known > 0) return known;
    const node = this.size;
    this.#tokens.push(token);
    this.#parents.push(parent);
    this.#depths.push(this.#depths[parent]! + 1);
    this.#nextSibling.push(this.#firstChild[parent]!);
    this.#firstChild[parent] = node;
    this.#firstChild.push(0);
    return node;
  }

  /** Returns the tree; adds no more nodes to it. */
  build(): DraftTree {
    let maxDepth = 0;
    for (const depth of this.#depths) maxDepth = Math.max(maxDepth, depth);
    return { tokens: this.#tokens, parents: this.#parents, depths: this.#depths, maxDepth };
  }
}

/**
 * Returns the tree of a plan. A node whose rank or depth the heads did not draft is left out, and so is the tree below it.
 * @param root the last committed token
 */
export function plant(plan: TreePlan, root: number, { depth, width, tokens }: HeadDrafts): DraftTree {
  const { parents, depths, ranks } = plan;
  const tree = new DraftTreeBuilder(root);
  const placed = [0];
  for (let node = 1; node < parents.length; node++) {
    const parent = placed[parents[node]!]!;
    const row = depths[node]! - 1;
    const rank = ranks[node]!;
    const isDrafted = parent >= 0 && row < depth && rank < width;
    placed.push(isDrafted ? tree.add(parent, tokens[row * width + rank]!) : -1);
  }
  return tree.build();
}
