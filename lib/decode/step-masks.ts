import type { Device } from '../tensor/device';
import { keep } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import type { Part } from './step-batch';
import type { Sequence } from './sequence';

/** Errors of sequences that fail alone. */
export type Failures = ReadonlyMap<Sequence, unknown>;

/** Which tokens each row of a step may draw. The host finds that out while the device runs the model. */
export class StepMasks implements Disposable {
  /** int32 [rows, ⌈vocabSize / 32⌉] */
  readonly tensor: Tensor;
  readonly #host: Int32Array;
  readonly #words: number;

  constructor(device: Device, rows: number, vocabSize: number) {
    this.#words = Math.ceil(vocabSize / 32);
    this.#host = new Int32Array(rows * this.#words);
    this.tensor = keep(device.tensor(this.#host, [rows, this.#words]));
  }

  /**
   * Asks the constraints of all rows, and uploads what they allow.
   * @param parts in ascending order of their slots
   * @returns errors of constraints; rows of their sequences may draw every token
   */
  write(parts: readonly Part[]): Failures {
    const failures = new Map<Sequence, unknown>();
    this.#host.fill(0);
    let row = 0;
    for (const { sequence, tokens, constraints } of parts) {
      const first = row * this.#words;
      row += tokens.length;
      const end = row * this.#words;
      try {
        if (!constraints) this.#host.fill(-1, first, end);
        constraints?.forEach((constraint, node) => {
          const start = first + node * this.#words;
          constraint.allow(this.#host.subarray(start, start + this.#words));
        });
      } catch (error) {
        failures.set(sequence, error);
        this.#host.fill(-1, first, end);
      }
    }
    this.tensor.write(this.#host);
    return failures;
  }

  dispose(): void {
    this.tensor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
