import {
  arrayOf,
  boolean,
  callback,
  check,
  checkOptions,
  either,
  integer,
  oneOf,
  required,
  signal,
  string,
  variants,
  type Checker,
} from '../check';
import { ForetokenError } from '../errors';
import type { MtpModel } from '../model/model';
import { SAMPLING_OPTIONS, type SamplingOptions } from '../tensor/ops/sampling/sampling';
import { CONSTRAINT, type TokenConstraint } from './constraint';
import { countNodes } from './tree';
import type { DraftFunction } from './user-drafts';

/** Most draft nodes of a tree, the root not counted. */
export const MAX_DRAFT_NODES = 63;

/** The shape of draft trees. Every choice gives the same output to the last token; only the speed differs. */
export type Speculation =
  | 'none'
  | {
      /** The likeliest token of each head, one after another. */
      tree: 'chain';
      /** How many of the heads 2 … n draft. Default: all. */
      depth?: number;
    }
  | {
      /** The same number of alternatives under every node of a depth. */
      tree: 'full';
      /** widths[i] alternatives at depth i+1, for at most heads 2 … n; at most 63 nodes in all, no width above the vocabulary. */
      widths: readonly number[];
    }
  | {
      /** The drafts that are likeliest to be accepted: of the heads, of lookup in the text itself, and of `draft`. */
      tree: 'best';
      /** Draft nodes, 0 … 63. Default 8. */
      nodes?: number;
    }
  | {
      /** As many nodes of `best` as give the most tokens per second on this machine at every step, possibly none. */
      tree: 'adaptive';
      /** Most draft nodes, 0 … 63. Default 16. */
      maxNodes?: number;
    };

export interface GenerateOptions extends SamplingOptions {
  /** Most tokens to generate; Infinity stands for all positions of the model. Default 256. */
  maxTokens?: number;
  /** Strings that end the text; it stops right before the first of them. */
  stop?: string | readonly string[];
  /** Whether to continue after the end-of-text token. Default false. */
  ignoreEos?: boolean;
  /** Aborts the iteration, which rejects with the signal's reason. Checked after every step. */
  signal?: AbortSignal;
  /** Default: adaptive. */
  speculation?: Speculation;
  /**
   * Drafts tokens for the trees `best` and `adaptive`, beside heads and lookup. Called before every step. Wrong drafts cost time and
   * never change the output; an error that the function throws ends the text.
   */
  draft?: DraftFunction;
  /**
   * Decides which tokens may come next, as a grammar does; it begins after the prompt. Applied before all sampling options. To end
   * the text, it must allow the end-of-text token. An error that it throws ends the text.
   */
  constraint?: TokenConstraint;
}

/** Returns the checker of draft trees for a model. */
function speculationOf(heads: number, draftVocabSize: number): Checker<Speculation> {
  const deepest = heads - 1;
  const nodes = integer(0, MAX_DRAFT_NODES);
  return either<['none', Exclude<Speculation, 'none'>]>(
    oneOf('none'),
    variants<Exclude<Speculation, 'none'>, 'tree'>('tree', {
      chain: { depth: integer(0, deepest) },
      full: { widths: required(arrayOf(integer(1, Math.min(MAX_DRAFT_NODES, draftVocabSize)), deepest)) },
      best: { nodes },
      adaptive: { maxNodes: nodes },
    }),
  );
}

/**
 * Checks all options that do not depend on the prompt.
 * @throws ForetokenError INVALID_ARGUMENT naming the option, what was given and what is allowed
 */
export function checkGenerateOptions(
  where: string,
  options: GenerateOptions,
  { numHeads, draftVocabSize }: MtpModel,
): GenerateOptions {
  const checked = checkOptions<GenerateOptions>(where, options, {
    ...SAMPLING_OPTIONS,
    maxTokens: either<[number, number]>(integer(0), oneOf(Infinity)),
    stop: either<[string, readonly string[]]>(string, arrayOf(string)),
    ignoreEos: boolean,
    signal,
    speculation: speculationOf(numHeads, draftVocabSize),
    draft: callback,
    constraint: CONSTRAINT,
  });
  const { speculation, draft } = checked;
  if (draft && (speculation === 'none' || speculation?.tree === 'chain' || speculation?.tree === 'full')) {
    throw new ForetokenError(
      'INVALID_ARGUMENT',
      `${where}: draft needs trees of kind best or adaptive, but speculation is ${speculation === 'none' ? speculation : speculation.tree}`,
    );
  }
  if (typeof speculation === 'object' && speculation.tree === 'full') {
    check(
      `${where}: nodes of speculation.widths`,
      countNodes(speculation.widths),
      integer(0, MAX_DRAFT_NODES),
    );
  }
  return checked;
}
