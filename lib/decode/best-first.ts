import { DraftTreeBuilder, type DraftTree, type HeadDrafts } from './draft-tree';

/** Drafts of heads, with the estimated probability that each is accepted if the node above it is. */
export interface RatedHeads {
  readonly drafts: HeadDrafts;
  /** `[depth, width]`: below the likeliest path, all of whose nodes hold the first token of their depth. */
  readonly onPath: Float64Array;
  /** `[depth, width]`: below other nodes. */
  readonly offPath: Float64Array;
}

/** A tree of drafts, with the estimated probability that each is accepted if the node above it is. */
export interface RatedTree {
  readonly tree: DraftTree;
  /** `[nodes]`; that of the root has no meaning. */
  readonly conditionals: Float64Array;
}

/** Drafts of one sequence, the likeliest first. Any number of the first nodes are a tree. */
export interface Candidates extends Omit<DraftTree, 'maxDepth'> {
  /** `[nodes]`: the estimated probability that a node is accepted, which falls from node to node; 1 for the root. */
  readonly probabilities: Float64Array;
  /** `[nodes]`: whether a node comes from heads alone, so that without their drafts it would be missing. */
  readonly isFromHeads: Uint8Array;
}

/** Returns the tree of the root and the first `nodes` drafts. */
export function firstDrafts({ tokens, parents, depths }: Candidates, nodes: number): DraftTree {
  const size = nodes + 1;
  let maxDepth = 0;
  for (let node = 0; node < size; node++) maxDepth = Math.max(maxDepth, depths[node]!);
  return {
    tokens: tokens.subarray(0, size),
    parents: parents.subarray(0, size),
    depths: depths.subarray(0, size),
    maxDepth,
  };
}

/** Returns the union of two trees with the same root. A node of both has the higher estimate. */
export function unite(a: RatedTree, b: RatedTree): RatedTree {
  const union = new DraftTreeBuilder(a.tree.tokens[0]!);
  const conditionals: number[] = [1];
  for (const { tree, conditionals: own } of [a, b]) {
    const placed = new Int32Array(tree.tokens.length);
    for (let node = 1; node < placed.length; node++) {
      const at = union.add(placed[tree.parents[node]!]!, tree.tokens[node]!);
      placed[node] = at;
      conditionals[at] = Math.max(conditionals[at] ?? 0, own[node]!);
    }
  }
  return { tree: union.build(), conditionals: Float64Array.from(conditionals) };
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
  readonly #tokens: Int32Array;
  readonly #parents: Int32Array;
  readonly #depths: Int32Array;
  readonly #probabilities: Float64Array;
  readonly #isOnPath: Uint8Array;
  readonly #isFromHeads: Uint8Array;
  readonly #children = new Children();
  /** By node: its next child in the lists, the end of its list, and the probability of that child. */
  readonly #next: Int32Array;
  readonly #ends: Int32Array;
  readonly #upcoming: Float64Array;
  /** Where the lists of children begin that heads alone propose, by depth and path; -1 for lists that are not made yet. */
  readonly #starts: Int32Array;

  constructor(
    root: number,
    private readonly heads: RatedHeads | null,
    private readonly given: RatedTree | null,
    private readonly most: number,
    private readonly deepest: number,
  ) {
    const size = most + 1;
    this.#tokens = new Int32Array(size);
    this.#parents = new Int32Array(size);
    this.#depths = new Int32Array(size);
    this.#probabilities = new Float64Array(size);
    this.#isOnPath = new Uint8Array(size);
    this.#isFromHeads = new Uint8Array(size);
    this.#next = new Int32Array(size);
    this.#ends = new Int32Array(size);
    this.#upcoming = new Float64Array(size);
    this.#starts = new Int32Array(2 * (heads?.drafts.depth ?? 0)).fill(-1);
    this.#tokens[0] = root;
    this.#parents[0] = -1;
    this.#probabilities[0] = 1;
    this.#isOnPath[0] = 1;
    this.#open(0, given ? 0 : -1);
  }

  run(): Candidates {
    let size = 1;
    while (size <= this.most) {
      let parent = 0;
      for (let node = 1; node < size; node++) {
        if (this.#upcoming[node]! > this.#upcoming[parent]!) parent = node;
      }
      if (!(this.#upcoming[parent]! >= LEAST_PROBABILITY)) break;
      this.#add(size++, parent);
    }
    return {
      tokens: this.#tokens.subarray(0, size),
      parents: this.#parents.subarray(0, size),
      depths: this.#depths.subarray(0, size),
      probabilities: this.#probabilities.subarray(0, size),
      isFromHeads: this.#isFromHeads.subarray(0, size),
    };
  }

  #add(node: number, parent: number): void {
    const at = this.#next[parent]!++;
    const depth = this.#depths[parent]! + 1;
    this.#tokens[node] = this.#children.tokens[at]!;
    this.#parents[node] = parent;
    this.#depths[node] = depth;
    this.#probabilities[node] = this.#upcoming[parent]!;
    this.#isOnPath[node] = this.#isOnPath[parent]! & this.#isFirst(depth, this.#tokens[node]);
    this.#isFromHeads[node] = Number(this.#children.nodes[at]! < 0);
    this.#look(parent);
    this.#open(node, this.#children.nodes[at]!);
  }

  /** Whether a token is the first that the heads drafted for a depth. */
  #isFirst(depth: number, token: number): number {
    if (!this.heads || depth > this.heads.drafts.depth) return 0;
    const { tokens, width } = this.heads.drafts;
    return Number(tokens[(depth - 1) * width] === token);
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
    const list = 2 * row + this.#isOnPath[node]!;
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

  #listHeads(start: number, row: number, isOnPath: number): void {
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
