import { native } from '../native/load';
import type { Device } from '../tensor/device';
import { keep } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';

/** The parts of a decoding step, in their order. */
export const PHASES = ['draft', 'forward', 'verify', 'commit'] as const;
export type Phase = (typeof PHASES)[number];
export type PhaseSeconds = Record<Phase, number>;

/** Splits the device's time over the parts of a step, by timestamps on its stream. */
export class StepClock implements Disposable {
  /** The beginning and the end of each phase. */
  readonly #marks: Tensor;
  #next = 0;

  constructor(device: Device) {
    this.#marks = keep(device.empty([PHASES.length + 1], 'int32'));
  }

  /** To be called before the first phase and after each. */
  mark(): void {
    native.timestamp(this.#marks.handle, this.#next++);
  }

  /** Seconds of each phase of the step just enqueued; starts over. */
  async read(): Promise<PhaseSeconds> {
    this.#next = 0;
    const marks = await this.#marks.data();
    const seconds = (i: number): number => ((marks[i + 1]! - marks[i]!) | 0) * 1e-6;
    return Object.fromEntries(PHASES.map((phase, i) => [phase, seconds(i)])) as PhaseSeconds;
  }

  [Symbol.dispose](): void {
    this.#marks.dispose();
  }
}
