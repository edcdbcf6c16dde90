import type { DeviceSampling } from '../tensor/ops/sampling/device-sampling';

/** How many tokens heads propose after a step: `width` for each of `depth` positions. */
export interface Proposal {
  readonly depth: number;
  readonly width: number;
}

/** The size class of a step: steps of one form have the same operations, so one capture serves them all. */
export interface StepForm {
  /** Slots that the step looks at: those of its sequences are among the first. */
  readonly slots: number;
  /** Rows of the forward pass; those after the trees' are padding. */
  readonly rows: number;
  /** Most nodes of an accepted path. */
  readonly pathLength: number;
  /** Tokens that heads propose after the step, by depth; null if they propose none. */
  readonly proposal: Proposal | null;
  /** The needs of the draws: a running argmax, whole rows of logits, or the text as well. */
  readonly needs: DeviceSampling['needs'];
  /** Whether constraints say which tokens may be drawn. */
  readonly isMasked: boolean;
}

/** Most rows of a step. Up to this number, products give every row the same bits whatever the other rows are. */
export const MOST_ROWS = 256;

/** Numbers of rows of captured steps: few, because a capture takes as long as several steps. */
const ROWS = [1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 64, 96, 128, 192, MOST_ROWS];

/** Rounds a number of rows, 1 … 256, up to one that steps are captured for. */
export function sizeClass(rows: number): number {
  return ROWS.find((size) => size >= rows)!;
}

/** Rounds up to a power of two. */
export function powerOfTwo(count: number): number {
  return 2 ** Math.ceil(Math.log2(count));
}

/** Names a form. */
export function nameOf({ slots, rows, pathLength, proposal, needs, isMasked }: StepForm): string {
  const proposed = proposal ? `${proposal.depth}×${proposal.width}` : 'none';
  return `${slots} ${rows} ${pathLength} ${proposed} ${needs} ${isMasked}`;
}
