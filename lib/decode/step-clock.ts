import type { Tensor } from '../tensor/tensor';
import { timestamp } from '../tensor/timestamp';

/** The phases of a decoding step, in order. */
export const PHASES = ['forward', 'verify', 'commit', 'draft'] as const;
/** A phase of a decoding step: the forward pass of the trees, their verification, committing the accepted nodes, drafting. */
export type Phase = (typeof PHASES)[number];
/** Seconds of device time. */
export type PhaseSeconds = Record<Phase, number>;

/** Timestamps of a step: its start, and the end of each phase. */
export const MARKS = PHASES.length + 1;

/** Measures the device time of each phase, by timestamps on the device's stream. */
export class StepClock {
  #next = 0;

  /** @param marks int32, at least {@link MARKS}: the tensor for the timestamps */
  constructor(private readonly marks: Tensor) {}

  /** Enqueues a timestamp: before the first phase and after each phase. */
  mark(): void {
    timestamp(this.marks, this.#next++);
  }

  /** Converts the timestamps of a step to the seconds of each phase. */
  static seconds(marks: ArrayLike<number>): PhaseSeconds {
    // Timestamps are microseconds modulo 2^32; the difference is right across the wrap.
    const seconds = (i: number): number => ((marks[i + 1]! - marks[i]!) | 0) * 1e-6;
    return Object.fromEntries(PHASES.map((phase, i) => [phase, seconds(i)])) as PhaseSeconds;
  }
}
