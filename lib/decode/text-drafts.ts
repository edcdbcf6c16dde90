import { bestFirst, unite, type Candidates, type RatedTree } from './best-first';
import type { HeadDrafts } from './draft-tree';
import type { HeadAcceptance } from './head-acceptance';
import { LookupDrafter } from './lookup-drafter';
import type { Sequence } from './sequence';
import type { UserDrafter } from './user-drafts';

/** Limits of a text's drafts. */
export interface DraftLimits {
  /** Drafts at most, the root not counted. */
  readonly most: number;
  /** Depth of the deepest draft. */
  readonly deepest: number;
}

/** All that drafts for one text: heads, lookup in the text itself, and a function of the user's. Each learns how good its drafts are. */
export class TextDrafts {
  readonly #lookup = new LookupDrafter();
  /** Tokens of the text that lookup has seen. */
  #seen = 0;
  /** The drafts of heads among the last candidates. */
  #headDrafts: HeadDrafts | null = null;

  constructor(
    private readonly sequence: Sequence,
    private readonly heads: HeadAcceptance | null,
    private readonly user: UserDrafter | null,
  ) {}

  /** Returns what may follow the text, the likeliest first. */
  candidates({ most, deepest }: DraftLimits): Candidates {
    const { tokens, promptLength, drafts } = this.sequence;
    this.#lookup.append(tokens.slice(this.#seen));
    this.#seen = tokens.length;
    const found = this.#lookup.draft(deepest);
    const given = this.user?.draft(tokens, promptLength, deepest) ?? null;
    this.#headDrafts = this.heads && drafts;
    const rated = this.#headDrafts && this.heads!.rate(this.#headDrafts);
    return bestFirst(tokens.at(-1)!, rated, both(found, given), { most, deepest });
  }

  /** Learns from the tokens that followed the text for which the last candidates were made. */
  observe(tokens: ArrayLike<number>): void {
    if (this.#headDrafts) this.heads!.observe(this.#headDrafts, tokens);
    this.user?.observe(tokens);
  }
}

function both(a: RatedTree | null, b: RatedTree | null): RatedTree | null {
  return a && b ? unite(a, b) : (a ?? b);
}
