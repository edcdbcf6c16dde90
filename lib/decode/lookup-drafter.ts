import type { RatedTree } from './best-first';
import { DraftTreeBuilder } from './draft-tree';
import { Lookup, type Occurrence } from './lookup';
import { kindOfMatch, PRIORS } from './match-kinds';
import { TreeAcceptance } from './tree-acceptance';

/** Draft nodes at most, far more than are likely. */
const MOST_NODES = 63;

/** Drafts that are accepted less often than this are not made. */
const LEAST_PROBABILITY = 0.05;

/** Trials that a prior stands for. */
const PRIOR_WEIGHT = 2;

/**
 * Drafts tokens that followed earlier when the text ended in the same way: Saxena 2023, "Prompt Lookup Decoding". All of the text
 * counts, and all continuations are drafted, each with an estimate how likely it is, which it learns from the text.
 */
export class LookupDrafter {
  readonly #lookup = new Lookup();
  readonly #acceptance = new TreeAcceptance(PRIORS, PRIOR_WEIGHT);

  /** Memory of the text and its indices. */
  get bytes(): number {
    return this.#lookup.bytes;
  }

  /** Adds tokens of the prompt or of a step, and learns from them how good the last drafts were. */
  append(tokens: ArrayLike<number>): void {
    this.#acceptance.observe(tokens);
    this.#lookup.append(tokens);
  }

  /** Drafts what may follow the text, down to `deepest` tokens after it; null if it did not end like this before. */
  draft(deepest: number): RatedTree | null {
    const occurrences = this.#lookup.occurrences();
    if (occurrences.length === 0 || deepest === 0) return null;
    const matches = new MatchTree(this.#lookup.last);
    for (const occurrence of occurrences) this.#follow(occurrence, matches, deepest);
    return this.#acceptance.rate(matches.tree.build(), matches.kinds());
  }

  /** Adds the tokens that followed an occurrence, until they are unlikely. */
  #follow(occurrence: Occurrence, matches: MatchTree, deepest: number): void {
    let node = 0;
    let probability = 1;
    for (let ahead = 0; ahead < deepest && matches.tree.size <= MOST_NODES; ahead++) {
      node = matches.add(node, this.#lookup.following(occurrence, ahead), occurrence.length + ahead);
      probability *= this.#acceptance.probability(matches.kindOf(node));
      if (probability < LEAST_PROBABILITY) return;
    }
  }
}

/** A tree of drafts and the matches that propose them. */
class MatchTree {
  readonly tree: DraftTreeBuilder;
  readonly #parents = [-1];
  /** Length of the longest match that proposes each node. */
  readonly #lengths = [0];
  /** Number of siblings that longer matches propose. */
  readonly #ranks = [0];
  /** Number of matches that propose a node, and that propose its children. */
  readonly #matches = [0];
  readonly #below = [0];
  readonly #children = [0];

  constructor(root: number) {
    this.tree = new DraftTreeBuilder(root);
  }

  /** Counts a match that proposes a token below a node; longer matches come first. Returns the token's node. */
  add(parent: number, token: number, length: number): number {
    const node = this.tree.add(parent, token);
    if (node === this.#parents.length) {
      this.#parents.push(parent);
      this.#lengths.push(length);
      this.#ranks.push(this.#children[parent]!++);
      this.#children.push(0);
      this.#matches.push(0);
      this.#below.push(0);
    }
    this.#matches[node]!++;
    this.#below[parent]!++;
    return node;
  }

  kindOf(node: number): number {
    const all = this.#below[this.#parents[node]!]!;
    return kindOfMatch(this.#lengths[node]!, this.#ranks[node]!, this.#matches[node]!, all);
  }

  kinds(): number[] {
    return this.#parents.map((_, node) => (node === 0 ? 0 : this.kindOf(node)));
  }
}
