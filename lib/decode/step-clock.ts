import type { Tensor } from '../tensor/tensor';
import { timestamp } from '../tensor/timestamp';

/** The parts of a decoding step, in their order. */
export const PHASES = ['draft', 'forward', 'verify', 'commit'] as const;
/** A part of a decoding step: drafting a tree, its forward pass, verifying it, committing what was accepted. */
export type Phase = (typeof PHASES)[number];
/** Seconds of device time. */
export type PhaseSeconds = Record<Phase, number>;

/** Timestamps that a step takes: the beginning and the end of each phase. */
export const MARKS = PHASES.length + 1;

/** Splits the device's time over the parts of a step, by timestamps on its stream. */
export class StepClock {
  #next = 0;

  /** @param marks int32, at least {@link MARKS}: where the timestamps go */
  constructor(private readonly marks: Tensor) {}

  /** To be called before the first phase and after each. */
  mark(): void {
    timestamp(this.marks, this.#next++);
  }

  /** Seconds of each phase, from the timestamps as they were read back. */
  static seconds(marks: ArrayLike<number>): PhaseSeconds {
    // Microseconds modulo 2^32: the difference is right across the wrap.
    const seconds = (i: number): number => ((marks[i + 1]! - marks[i]!) | 0) * 1e-6;
    return Object.fromEntries(PHASES.map((phase, i) => [phase, seconds(i)])) as PhaseSeconds;
  }
}
