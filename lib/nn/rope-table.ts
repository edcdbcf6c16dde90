import { check, checkInteger, number } from '../check';
import { ForetokenError } from '../errors';
import { device as deviceChecker } from '../tensor/checks';
import type { Device } from '../tensor/device';
import { ropeTable } from '../tensor/ops/layers/rope';
import { keep } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import { size } from './checks';

/** Cosines and sines of all rotary positions, shared by the layers of a model; grows as longer texts come. */
export class RopeTable implements Disposable {
  #tensor: Tensor | null = null;

  constructor(
    private readonly device: Device,
    private readonly headDim: number,
    private readonly theta: number,
    /** Positions the model was made for; there is no table beyond. */
    readonly maxPositions: number,
  ) {
    check('RopeTable: device', device, deviceChecker);
    check('RopeTable: headDim', headDim, size);
    check('RopeTable: theta', theta, number(0));
    check('RopeTable: maxPositions', maxPositions, size);
  }

  /** The table as `rope` reads it, of as many positions as were reserved; another tensor once it has grown. */
  get tensor(): Tensor {
    if (!this.#tensor) this.reserve(1);
    return this.#tensor!;
  }

  /** Makes sure that positions 0 … count - 1 are there. */
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
    this.#tensor?.dispose();
    this.#tensor = keep(ropeTable(this.device, size, this.headDim, this.theta));
  }

  /** Frees the table; what is asked for next makes it anew. */
  dispose(): void {
    this.#tensor?.dispose();
    this.#tensor = null;
  }

  /** What `using` calls: {@link dispose}. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
