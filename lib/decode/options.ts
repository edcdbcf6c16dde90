import { ForetokenError } from '../errors';
import type { SamplingOptions } from '../tensor/ops/sampling';

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
  /** Most tokens to generate. Default 256. */
  maxTokens?: number;
  /** Ends the text right before any of these. */
  stop?: string | readonly string[];
  /** Goes on behind the end-of-text token. Default false. */
  ignoreEos?: boolean;
  /** Rejects the iteration with the signal's reason. */
  signal?: AbortSignal;
  /** Default: adaptive for models with several heads. */
  speculation?: Speculation;
}

/** Checks what the kernels do not. */
export function checkSpeculation(speculation: Speculation, heads: number, vocabSize: number): void {
  const fail = (message: string): never => {
    throw new ForetokenError('INVALID_ARGUMENT', `speculation: ${message}`);
  };
  const integer = (name: string, value: number | undefined, lowest: number, highest: number): void => {
    if (value === undefined) return;
    if (!Number.isInteger(value) || value < lowest || value > highest) {
      fail(`${name} must be an integer in ${lowest} … ${highest}, but is ${value}`);
    }
  };
  if (speculation === 'none') return;
  if (typeof speculation !== 'object' || speculation === null) fail(`must be 'none' or { tree: … }`);
  const deepest = heads - 1;
  switch (speculation.tree) {
    case 'chain':
      integer('depth', speculation.depth, 0, deepest);
      break;
    case 'full': {
      const { widths } = speculation;
      if (!Array.isArray(widths) || widths.length > deepest) {
        fail(`widths must be an array of at most ${deepest} numbers, one for each head after the first`);
      }
      let nodes = 0;
      let level = 1;
      for (const width of widths as readonly number[]) {
        integer('widths', width, 1, Math.min(MAX_DRAFT_NODES, vocabSize));
        level *= width;
        nodes += level;
      }
      if (nodes > MAX_DRAFT_NODES)
        fail(`widths make a tree of ${nodes} nodes, but at most ${MAX_DRAFT_NODES} are allowed`);
      break;
    }
    case 'best':
      integer('nodes', speculation.nodes, 0, MAX_DRAFT_NODES);
      break;
    case 'adaptive':
      integer('maxNodes', speculation.maxNodes, 0, MAX_DRAFT_NODES);
      break;
    default:
      fail(
        `tree must be chain, full, best or adaptive, but is ${JSON.stringify((speculation as { tree: unknown }).tree)}`,
      );
  }
}
