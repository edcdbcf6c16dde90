import { ForetokenError } from '../errors';
import type { TreeRows } from '../tensor/ops/attention/kv-cache';
import { commitRecurrent, type RecurrentInputs } from '../tensor/ops/recurrent/commit-recurrent';
import { RecurrentStates, type RecurrentStatesOptions } from '../tensor/recurrent-states';
import type { Device } from '../tensor/device';
import { keep } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';

/**
 * The states of recurrent layers after the committed positions of some texts, and one earlier state of each text. A forward pass
 * changes no state: it leaves what it computed of its rows here, until it is known which of them are accepted.
 */
export class RecurrentCache implements Disposable {
  /** The states; the saved one of sequence s is that of sequence `sequences` + s. */
  readonly states: RecurrentStates;
  readonly #held = new Map<number, RecurrentInputs>();
  /** Positions of each saved state; -1 without one. */
  readonly #saved: Int32Array;

  constructor(
    device: Device,
    sizes: Omit<RecurrentStatesOptions, 'sequences'>,
    private readonly sequences: number,
  ) {
    this.states = new RecurrentStates(device, { ...sizes, sequences: 2 * sequences });
    this.#saved = new Int32Array(sequences).fill(-1);
  }

  /** Keeps the inputs of a layer in place of those of the pass before. */
  hold(layer: number, inputs: RecurrentInputs): void {
    this.#drop(layer);
    for (const tensor of ofRows(inputs)) keep(tensor);
    this.#held.set(layer, inputs);
  }

  /**
   * Applies accepted rows of the last forward pass to the states.
   * @param tree the numbering of the rows in `path`
   * @param path int32 [sequences, stride]: accepted rows, root first, then -1
   * @param counts int32 [sequences]: number of accepted rows
   * @param take takes the rows of `tree` from those of the pass
   */
  update(
    { rowOffsets }: TreeRows,
    path: Tensor,
    counts: Tensor,
    take: (rows: Tensor) => Tensor = (rows) => rows,
  ): void {
    for (const [layer, { x, qkv, a, b, decay, bias }] of this.#held) {
      const taken = { x: take(x), qkv: take(qkv), a: take(a), b: take(b), decay, bias };
      commitRecurrent(this.states, layer, taken, rowOffsets, path, counts);
    }
  }

  /** Frees what the last forward pass left. */
  settle(): void {
    for (const layer of [...this.#held.keys()]) this.#drop(layer);
  }

  #drop(layer: number): void {
    const held = this.#held.get(layer);
    this.#held.delete(layer);
    if (held) for (const tensor of ofRows(held)) tensor.dispose();
  }

  /** Makes sure that a sequence has a state. */
  reserve(sequence: number): void {
    this.states.reserve(sequence);
  }

  /** Forgets the text of a sequence, and its saved state. */
  release(sequence: number): void {
    this.states.release(sequence);
    this.states.release(this.sequences + sequence);
    this.#saved[sequence] = -1;
  }

  /** Saves the state of a sequence, which has read `length` positions, in place of the one saved before. */
  save(sequence: number, length: number): void {
    this.states.copy(sequence, this.sequences + sequence);
    this.#saved[sequence] = length;
  }

  /**
   * Goes back to the saved state, or to the beginning.
   * @throws ForetokenError INVALID_ARGUMENT for a position whose state was not saved
   */
  restore(sequence: number, length: number): void {
    const saved = this.#saved[sequence]!;
    if (length === saved) {
      this.states.copy(this.sequences + sequence, sequence);
    } else if (length === 0) {
      this.states.release(sequence);
      this.states.reserve(sequence);
    } else {
      const known = saved < 0 ? 'none was saved' : `the saved one is that of ${saved}`;
      throw new ForetokenError(
        'INVALID_ARGUMENT',
        `ModelCache: sequence ${sequence} has no state at length ${length}: ${known}`,
      );
    }
  }

  /** Frees the memory; captures that use it keep it until they are disposed of. */
  dispose(): void {
    this.settle();
    this.states.dispose();
  }

  /** Calls {@link dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Lists what a layer computed of the rows. */
const ofRows = ({ x, qkv, a, b }: RecurrentInputs): Tensor[] => [x, qkv, a, b];
