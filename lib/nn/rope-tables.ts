import type { Device } from '../tensor/device';
import type { Tensor } from '../tensor/tensor';
import { ropeFrequencies, type RopeOptions } from './rope-frequencies';
import { RopeTable } from './rope-table';

/** The rotary positions of a model, in a table for each kind of angles that its layers have. */
export class RopeTables implements Disposable {
  readonly #tables = new Map<string, RopeTable>();

  constructor(
    private readonly device: Device,
    /** Number of positions of the model. */
    readonly maxPositions: number,
  ) {}

  /** Returns the table of these angles, which layers share that rotate alike. */
  for(options: Omit<RopeOptions, 'maxPositions'>): RopeTable {
    const { maxPositions } = this;
    const key = JSON.stringify(options);
    const table =
      this.#tables.get(key) ??
      new RopeTable(this.device, ropeFrequencies({ ...options, maxPositions }), maxPositions);
    this.#tables.set(key, table);
    return table;
  }

  /** The tables as they are now; a table that grows becomes another tensor. */
  get tensors(): Tensor[] {
    return [...this.#tables.values()].map(({ tensor }) => tensor);
  }

  /**
   * Grows all tables to positions 0 … count - 1.
   * @throws ForetokenError INVALID_ARGUMENT for more positions than the model has; OUT_OF_MEMORY
   */
  reserve(count: number): void {
    for (const table of this.#tables.values()) table.reserve(count);
  }

  /** Frees the tables; the next use makes them again. */
  dispose(): void {
    for (const table of this.#tables.values()) table.dispose();
  }

  /** Calls {@link dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
