import {
  arrayOf,
  boolean,
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
import type { MtpModel } from '../model/model';
import { SAMPLING_OPTIONS, type SamplingOptions } from '../tensor/ops/sampling/sampling';
import { countNodes } from './tree';

/** Largest draft tree, the root not counted. */
export const MAX_DRAFT_NODES = 63;

/** How to guess ahead. Whatever is chosen, the output is the same to the last token; only the speed differs. */
export type Speculation =
  | 'none'
  | {
      /** The heads' first choices, one after another. */
      tree: 'chain';
      /** How many of heads 2 … n draft. Default: all. */
      depth?: number;
    }
  | {
      /** Alternatives at every depth, under every node above. */
      tree: 'full';
      /** widths[i] alternatives at depth i+1, for heads 2 … n at most; 63 nodes in all at most, and no more than tokens. */
      widths: readonly number[];
    }
  | {
      /** The paths that were accepted most often so far. */
      tree: 'best';
      /** Draft nodes, 0 … 63. Default 8. */
      nodes?: number;
    }
  | {
      /** As many of those as give the most tokens per second here and now; possibly none. */
      tree: 'adaptive';
      /** Draft nodes at most, 0 … 63. Default 16. */
      maxNodes?: number;
    };

export interface GenerateOptions extends SamplingOptions {
  /** Most tokens to generate; Infinity: as many as the model has positions for. Default 256. */
  maxTokens?: number;
  /** Ends the text right before any of these. */
  stop?: string | readonly string[];
  /** Goes on behind the end-of-text token. Default false. */
  ignoreEos?: boolean;
  /** Rejects the iteration with the signal's reason. Looked at after every step. */
  signal?: AbortSignal;
  /** Default: adaptive for models with several heads. */
  speculation?: Speculation;
}

/** What there is to choose in trees of a model. */
function speculationOf(heads: number, vocabSize: number): Checker<Speculation> {
  const deepest = heads - 1;
  const nodes = integer(0, MAX_DRAFT_NODES);
  return either<['none', Exclude<Speculation, 'none'>]>(
    oneOf('none'),
    variants<Exclude<Speculation, 'none'>, 'tree'>('tree', {
      chain: { depth: integer(0, deepest) },
      full: { widths: required(arrayOf(integer(1, Math.min(MAX_DRAFT_NODES, vocabSize)), deepest)) },
      best: { nodes },
      adaptive: { maxNodes: nodes },
    }),
  );
}

/**
 * Checks everything that can be told without the prompt.
 * @throws ForetokenError INVALID_ARGUMENT naming the option, what was given and what is allowed
 */
export function checkGenerateOptions(
  options: GenerateOptions,
  { numHeads, config }: MtpModel,
): GenerateOptions {
  const checked = checkOptions<GenerateOptions>('generate', options, {
    ...SAMPLING_OPTIONS,
    maxTokens: either<[number, number]>(integer(0), oneOf(Infinity)),
    stop: either<[string, readonly string[]]>(string, arrayOf(string)),
    ignoreEos: boolean,
    signal,
    speculation: speculationOf(numHeads, config.vocabSize),
  });
  const { speculation } = checked;
  if (typeof speculation === 'object' && speculation.tree === 'full') {
    check(
      'generate: nodes of speculation.widths',
      countNodes(speculation.widths),
      integer(0, MAX_DRAFT_NODES),
    );
  }
  return checked;
}
