import { DraftTreeBuilder, type DraftTree, type HeadDrafts } from './draft-tree';

/** Drafts of heads, with the estimated probability that each is accepted if the node above it is. */
export interface RatedHeads {
  readonly drafts: HeadDrafts;
  /** `[depth, width]`: below the likeliest path, all of whose nodes hold the first token of their depth. */
  readonly onPath: readonly number[];
  /** `[depth, width]`: below other nodes. */
  readonly offPath: readonly number[];
}

/** A tree of drafts, with the estimated probability that each is accepted if the node above it is. */
export interface RatedTree {
  readonly tree: DraftTree;
  /** `[nodes]`; that of the root has no meaning. */
  readonly conditionals: readonly number[];
}

/** Drafts of one sequence, the likeliest first. Any number of the first nodes are a tree. */
export interface Candidates extends Omit<DraftTree, 'maxDepth'> {
  /** `[nodes]`: the estimated probability that a node is accepted, which falls from node to node; 1 for the root. */
  readonly probabilities: readonly number[];
  /** `[nodes]`: whether a node comes from heads alone, so that without their drafts it would be missing. */
  readonly isFromHeads: readonly boolean[];
}

/** Returns the tree of the root and the first `nodes` drafts. */
export function firstDrafts(candidates: Candidates, nodes: number): DraftTree {
  const size = nodes + 1;
  const depths = candidates.depths.slice(0, size);
  return {
    tokens: candidates.tokens.slice(0, size),
    parents: candidates.parents.slice(0, size),
    depths,
    maxDepth: Math.max(...depths),
  };
}

/** Returns the union of two trees with the same root. A node of both has the higher estimate. */
export function unite(a: RatedTree, b: RatedTree): RatedTree {
  const union = new DraftTreeBuilder(a.tree.tokens[0]!);
  const conditionals: number[] = [1];
  for (const { tree, conditionals: own } of [a, b]) {
    const placed = [0];
    for (let node = 1; node < tree.tokens.length; node++) {
      const at = union.add(placed[tree.parents[node]!]!, tree.tokens[node]!);
      placed.push(at);
      conditionals[at] = Math.max(conditionals[at] ?? 0, own[node]!);
    }
  }
  return { tree: union.build(), conditionals };
}

/** Drafts that are accepted less often than this are left out. */
const LEAST_PROBABILITY = 0.01;

/** Children that nodes may get: lists in one piece of memory, each in falling probability. */
class Children {
  readonly tokens: number[] = [];
  readonly conditionals: number[] = [];
  /** The node of the given tree; -1 for drafts of heads alone. */
  readonly nodes: number[] = [];

  /** Returns the probability that no child of the last list is right. */
  left(start: number): number {
    let left = 1;
    for (let at = start; at < this.conditionals.length; at++) left -= this.conditionals[at]!;
    return Math.max(0, left);
  }

  /**
   * Adds a child to the last list, which begins at `start`. A token that is there already keeps the higher estimate.
   * @param most highest estimate of a token that is not there yet
   */
  add(start: number, token: number, conditional: number, node: number, most = 1): void {
    const { tokens, conditionals, nodes } = this;
    let at = start;
    while (at < tokens.length && tokens[at] !== token) at++;
    const known = conditionals[at];
    const estimate = known === undefined ? Math.min(conditional, most) : Math.max(conditional, known);
    for (; at > start && conditionals[at - 1]! < estimate; at--) {
      tokens[at] = tokens[at - 1]!;
      conditionals[at] = conditionals[at - 1]!;
      nodes[at] = nodes[at - 1]!;
    }
    tokens[at] = token;
    conditionals[at] = estimate;
    nodes[at] = node;
  }
}

/**
 * Orders drafts by the probability that they are accepted, which is the product of the estimates along their path. A child is
 * never likelier than its parent, so adding the likeliest child again and again gives the best tree of every size. Below every
 * node, heads propose all tokens of the next depth. A draft of both the heads and the tree has the higher estimate; a draft of the
 * tree alone at most the probability that the heads leave for other tokens.
 * @param root the last committed token
 * @param most drafts to order, the root not counted
 * @param deepest depth of the deepest draft
 */
export function bestFirst(
  root: number,
  heads: RatedHeads | null,
  given: RatedTree | null,
  { most, deepest }: { most: number; deepest: number },
): Candidates {
  return new Search(root, heads, given, most, deepest).run();
}

class Search {
  readonly #tokens: number[];
  readonly #parents = [-1];
  readonly #depths = [0];
  readonly #probabilities = [1];
  readonly #isOnPath = [true];
  readonly #isFromHeads = [false];
  readonly #children = new Children();
  /** By node: its next child in the lists, the end of its list, and the probability of that child. */
  readonly #next = [0];
  readonly #ends = [0];
  readonly #upcoming = [0];
  /** Where the lists of children begin that heads alone propose, by depth and path. */
  readonly #starts: (number | undefined)[] = [];

  constructor(
    root: number,
    private readonly heads: RatedHeads | null,
    private readonly given: RatedTree | null,
    private readonly most: number,
    private readonly deepest: number,
  ) {
    this.#tokens = [root];
    this.#open(0, given ? 0 : -1);
  }

  run(): Candidates {
    while (this.#tokens.length <= this.most) {
      let parent = 0;
      for (let node = 1; node < this.#upcoming.length; node++) {
        if (this.#upcoming[node]! > this.#upcoming[parent]!) parent = node;
      }
      if (!(this.#upcoming[parent]! >= LEAST_PROBABILITY)) break;
      this.#add(parent);
    }
    return {
      tokens: this.#tokens,
      parents: this.#parents,
      depths: this.#depths,
      probabilities: this.#probabilities,
      isFromHeads: this.#isFromHeads,
    };
  }

  #add(parent: number): void {
    const at = this.#next[parent]!++;
    const token = this.#children.tokens[at]!;
    const inTree = this.#children.nodes[at]!;
    const depth = this.#depths[parent]! + 1;
    const node = this.#tokens.length;
    this.#tokens.push(token);
    this.#parents.push(parent);
    this.#depths.push(depth);
    this.#probabilities.push(this.#upcoming[parent]!);
    this.#isOnPath.push(this.#isOnPath[parent]! && this.#isFirst(depth, token));
    this.#isFromHeads.push(inTree < 0);
    this.#next.push(0);
    this.#ends.push(0);
    this.#upcoming.push(0);
    this.#look(parent);
    this.#open(node, inTree);
  }

  /** Whether a token is the first that the heads drafted for a depth. */
  #isFirst(depth: number, token: number): boolean {
    if (!this.heads || depth > this.heads.drafts.depth) return false;
    const { tokens, width } = this.heads.drafts;
    return tokens[(depth - 1) * width] === token;
  }

  /** Finds the probability of a node's next child. */
  #look(node: number): void {
    const at = this.#next[node]!;
    const conditional = at < this.#ends[node]! ? this.#children.conditionals[at]! : 0;
    this.#upcoming[node] = this.#probabilities[node]! * conditional;
  }

  /** Lists the children of a node. `inTree` is its node in the given tree; -1 without one. */
  #open(node: number, inTree: number): void {
    const row = this.#depths[node]!;
    if (row >= this.deepest) return;
    const list = 2 * row + Number(this.#isOnPath[node]);
    const known = inTree < 0 ? (this.#starts[list] ?? -1) : -1;
    const start = known < 0 ? this.#children.tokens.length : known;
    if (known < 0) {
      this.#listHeads(start, row, this.#isOnPath[node]!);
      if (inTree < 0) this.#starts[list] = start;
      else this.#listTree(start, inTree);
    }
    this.#next[node] = start;
    this.#ends[node] = known < 0 ? this.#children.tokens.length : start + this.heads!.drafts.width;
    this.#look(node);
  }

  #listHeads(start: number, row: number, isOnPath: boolean): void {
    if (!this.heads || row >= this.heads.drafts.depth) return;
    const { drafts, onPath, offPath } = this.heads;
    const rates = isOnPath ? onPath : offPath;
    for (let at = row * drafts.width; at < (row + 1) * drafts.width; at++) {
      this.#children.add(start, drafts.tokens[at]!, rates[at]!, -1);
    }
  }

  #listTree(start: number, inTree: number): void {
    const { tree, conditionals } = this.given!;
    const left = this.#children.left(start);
    for (let child = inTree + 1; child < tree.parents.length; child++) {
      if (tree.parents[child] !== inTree) continue;
      this.#children.add(start, tree.tokens[child]!, conditionals[child]!, child, left);
    }
  }
}
