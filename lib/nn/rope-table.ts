import { arrayOf, check, checkInteger, number, object, required, type Checker } from '../check';
import { ForetokenError } from '../errors';
import { device as deviceChecker } from '../tensor/checks';
import type { Device } from '../tensor/device';
import { keep } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import { size } from './checks';
import type { RopeFrequencies } from './rope-frequencies';

const FREQUENCIES: Checker<RopeFrequencies> = object<RopeFrequencies>({
  frequencies: required(arrayOf(number(0))),
  scale: required(number(0)),
});

/** Cosines and sines of all rotary positions, shared by the layers of a model that rotate alike; grows with the longest text. */
export class RopeTable implements Disposable {
  readonly #angles: RopeFrequencies;
  #tensor: Tensor | null = null;

  constructor(
    private readonly device: Device,
    /** The angles. */
    angles: RopeFrequencies,
    /** Number of positions of the model; the table does not grow beyond it. */
    readonly maxPositions: number,
  ) {
    check('RopeTable: device', device, deviceChecker);
    this.#angles = check('RopeTable: angles', angles, FREQUENCIES);
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
    const larger = keep(tableOf(this.device, size, this.#angles));
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

function tableOf(device: Device, count: number, { frequencies, scale }: RopeFrequencies): Tensor {
  const pairs = frequencies.length;
  const tensor = device.empty([count, 2 * pairs]);
  const table = new Float32Array(tensor.size);
  for (let position = 0; position < count; position++) {
    frequencies.forEach((frequency, i) => {
      const angle = position * frequency;
      table[2 * position * pairs + i] = scale * Math.cos(angle);
      table[(2 * position + 1) * pairs + i] = scale * Math.sin(angle);
    });
  }
  tensor.write(table);
  return tensor;
}
