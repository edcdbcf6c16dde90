import { types } from 'node:util';
import { arrayOf, check, integer, isInteger, nullable, object, required, type Checker } from '../check';
import { ForetokenError } from '../errors';
import { TOKEN_IDS } from '../tensor/ops/sampling/sampling';
import type { RatedTree } from './best-first';
import { DraftTreeBuilder } from './draft-tree';
import { TreeAcceptance } from './tree-acceptance';

/** A text for which a function drafts. */
export interface DraftedSequence {
  /** Token ids of prompt and output so far: a copy for the function, so that writing to it changes no output. */
  readonly tokens: Int32Array;
  /** Number of tokens, from the first, that are the prompt. */
  readonly promptLength: number;
}

/** Tokens that may follow a text. */
export interface Drafts {
  /** At most 63 token ids. */
  readonly tokens: ArrayLike<number>;
  /**
   * parents[i] is the index of the token that comes right before tokens[i], smaller than i; -1 if that is the last token of the
   * text. Default: every token follows the one before it.
   */
  readonly parents?: ArrayLike<number>;
}

/**
 * Drafts the next tokens of a text, before every step; null or undefined for no drafts. Wrong drafts cost time and never change
 * the output.
 */
export type DraftFunction = (sequence: DraftedSequence) => Drafts | null | undefined;

/** Makes a checker of arrays, typed arrays and any other object with at most `most` elements and a length. */
function listOf(element: Checker<number>, most: number): Checker<ArrayLike<number>> {
  const { allowed, parts } = arrayOf(element);
  const count = integer(0, most);
  return {
    allowed,
    fits: TOKEN_IDS.fits,
    parts: (what, value) => {
      check(`${what}.length`, (value as ArrayLike<number>).length, count);
      return parts!(what, value);
    },
  };
}

/** Depths that are counted apart; deeper drafts count as the last. */
const DEPTHS = 8;

/** Prior probability of the first draft below a node, and of others. */
const PRIOR_FIRST = 0.7;
const PRIOR_OTHER = 0.2;

/** Trials that a prior stands for. */
const PRIOR_WEIGHT = 2;

/** Calls a user's function for one text, checks what it returns, and estimates how likely its drafts are. */
export class UserDrafter {
  readonly #returned: Checker<Drafts | null>;
  readonly #acceptance = new TreeAcceptance(
    Float64Array.from({ length: 2 * DEPTHS }, (_, kind) => (kind % 2 === 0 ? PRIOR_FIRST : PRIOR_OTHER)),
    PRIOR_WEIGHT,
  );
  /** The tokens that the function sees. Once it has transferred them to another thread, the length is 0. */
  #tokens = new Int32Array(0);
  #length = 0;

  /**
   * @param what the function's name for messages, as in `generate: draft`
   * @param most draft nodes that the function may return
   */
  constructor(
    private readonly what: string,
    private readonly draftFunction: DraftFunction,
    vocabSize: number,
    most: number,
  ) {
    const tokens = listOf(integer(0, vocabSize - 1), most);
    const parents = listOf(integer(-1, most - 2), most);
    this.#returned = nullable(object<Drafts>({ tokens: required(tokens), parents }));
  }

  /**
   * Returns the function's drafts, those deeper than `deepest` left out.
   * @param text prompt and output; longer than before by the tokens of a step
   * @throws ForetokenError INVALID_ARGUMENT naming what the function returned and what is allowed; any error of the function
   */
  draft(text: ArrayLike<number>, promptLength: number, deepest: number): RatedTree | null {
    const { draftFunction, what } = this;
    const returned: unknown = draftFunction({ tokens: this.#show(text), promptLength });
    if (types.isPromise(returned)) {
      // Rejections that are not handled end the process.
      returned.catch(() => undefined);
      throw new ForetokenError(
        'INVALID_ARGUMENT',
        `${what}() must return drafts or null, but returns a promise; a step does not wait for drafts, so the function cannot be async`,
      );
    }
    const drafts = check(`${what}()`, returned ?? null, this.#returned);
    return drafts && this.#tree(drafts, text[text.length - 1]!, deepest);
  }

  /** Extends the function's copy of the text, and returns it. */
  #show(text: ArrayLike<number>): Int32Array {
    if (text.length > this.#tokens.length) {
      this.#tokens = new Int32Array(2 ** Math.ceil(Math.log2(text.length)));
      this.#length = 0;
    }
    for (; this.#length < text.length; this.#length++) this.#tokens[this.#length] = text[this.#length]!;
    return this.#tokens.subarray(0, this.#length);
  }

  /**
   * Learns how good the last drafts were.
   * @param tokens tokens that followed the text for which they were made
   */
  observe(tokens: ArrayLike<number>): void {
    this.#acceptance.observe(tokens);
  }

  #tree({ tokens, parents }: Drafts, root: number, deepest: number): RatedTree | null {
    const { what } = this;
    const { length } = tokens;
    if (parents) check(`${what}().parents.length`, parents.length, integer(length, length));
    const tree = new DraftTreeBuilder(root);
    const nodes: number[] = [];
    for (let i = 0; i < length; i++) {
      const parent = parents ? parents[i]! : i - 1;
      if (!isInteger(parent, -1, i - 1)) check(`${what}().parents[${i}]`, parent, integer(-1, i - 1));
      const above = parent < 0 ? 0 : nodes[parent]!;
      // A draft that is too deep has no node, nor has one that follows it.
      nodes.push(above < 0 || tree.depthOf(above) >= deepest ? -1 : tree.add(above, tokens[i]!));
    }
    if (tree.size === 1) return null;
    const built = tree.build();
    const children = new Uint8Array(tree.size);
    const kinds = built.depths.map((depth, node) => {
      const parent = built.parents[node]!;
      if (parent < 0) return 0;
      return 2 * (Math.min(depth, DEPTHS) - 1) + Math.min(1, children[parent]!++);
    });
    return this.#acceptance.rate(built, kinds);
  }
}
