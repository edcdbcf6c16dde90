import type { SamplingOptions } from '../tensor/ops/sampling/sampling';
import type { HeadDrafts } from './draft-tree';

/** One text in an engine, as plain data: a step reads it and extends it. */
export interface Sequence {
  /** Prompt and output. The last token is the root of the next tree: its keys and values are not in the cache yet. */
  readonly tokens: number[];
  /** Number of tokens, from the first, that are the prompt. */
  readonly promptLength: number;
  /** How tokens are drawn; checked, with defaults filled in. */
  readonly sampling: Required<SamplingOptions>;
  /** Its place in the batch and in the cache; -1 without one. */
  slot: number;
  /** Tokens, from the first, whose keys and values are in the cache. */
  length: number;
  /** Proposals of the heads for the positions after the last token; null if the last step made none. */
  drafts: HeadDrafts | null;
}

/** Makes the sequence of a text that has not begun. */
export function newSequence(prompt: ArrayLike<number>, sampling: Required<SamplingOptions>): Sequence {
  return {
    tokens: Array.from(prompt),
    promptLength: prompt.length,
    sampling,
    slot: -1,
    length: 0,
    drafts: null,
  };
}

/** Whether all tokens except the last are in the cache, so that the next step can draw. */
export function isRead({ tokens, length }: Sequence): boolean {
  return length === tokens.length - 1;
}
