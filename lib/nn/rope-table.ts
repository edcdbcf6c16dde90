import { check, checkInteger } from '../check';
import { ForetokenError } from '../errors';
import { device as deviceChecker } from '../tensor/checks';
import type { Device } from '../tensor/device';
import { ropeAngles, ropeTable, type RopeAngles } from '../tensor/ops/layers/rope';
import { keep } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import { size } from './checks';

/** Cosines and sines of all rotary positions, shared by the layers of a model that rotate alike; grows with the longest text. */
export class RopeTable implements Disposable {
  readonly #angles: RopeAngles;
  #tensor: Tensor | null = null;

  constructor(
    private readonly device: Device,
    /** The angles. */
    angles: RopeAngles,
    /** Number of positions of the model; the table does not grow beyond it. */
    readonly maxPositions: number,
  ) {
    check('RopeTable: device', device, deviceChecker);
    this.#angles = check('RopeTable: angles', angles, ropeAngles);
    check('RopeTable: maxPositions', maxPositions, size);
  }

  /** The table for `rope`, of the reserved positions. A table that grows becomes another tensor. */
  get tensor(): Tensor {
    if (!this.#tensor) this.reserve(1);
    return this.#tensor!;
  }

  /** Grows the table to positions 0 … count - 1, if it is smaller. */
  reserve(count: number): void {
    checkInteger('RopeTable: count', count, 0);
    if (count > this.maxPositions) {
      throw new ForetokenError(
        'INVALID_ARGUMENT',
        `position ${count - 1} is beyond the model's ${this.maxPositions} positions (max_position_embeddings)`,
      );
    }
    const have = this.#tensor?.shape[0] ?? 0;
    if (count <= have) return;
    const size = Math.min(this.maxPositions, Math.max(count, 2 * have, 512));
    const larger = keep(ropeTable(this.device, size, this.#angles));
    // The old table stays if there is no memory for the new one.
    this.#tensor?.dispose();
    this.#tensor = larger;
  }

  /** Frees the table; the next use makes it again. */
  dispose(): void {
    this.#tensor?.dispose();
    this.#tensor = null;
  }

  /** Calls {@link dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
