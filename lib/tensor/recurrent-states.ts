import { check, checkInteger, checkOptions, integer, required, type Checker, type Schema } from '../check';
import type { RecurrentStatesHandle } from '../native/binding';
import { native } from '../native/load';
import { device as deviceChecker, LARGEST_INT } from './checks';
import type { Device } from './device';

/** Sizes of {@link RecurrentStates}. */
export interface RecurrentStatesOptions {
  /** Recurrent layers. */
  layers: number;
  /** Heads of queries and of keys in a layer, at most 1,024. */
  keyHeads: number;
  /** Heads of values, a multiple of `keyHeads`, at most 1,024. Value head h uses key head floor(h · keyHeads / valueHeads). */
  valueHeads: number;
  /** Numbers in a head of queries or keys: a multiple of 16, at most 256. */
  keyDim: number;
  /** Numbers in a head of values: a multiple of 16, at most 256. */
  valueDim: number;
  /** Inputs that the convolution takes for each output, 2 to 8. */
  taps: number;
  /** Number of sequences that are decoded side by side, and of states kept for later, at most 65,536. */
  sequences: number;
}

const heads: Checker<number> = integer(1, 1024);
const dim: Checker<number> = integer(16, 256);

const OPTIONS: Schema<RecurrentStatesOptions> = {
  layers: required(integer(0, LARGEST_INT)),
  keyHeads: required(heads),
  valueHeads: required(heads),
  keyDim: required(dim),
  valueDim: required(dim),
  taps: required(integer(2, 8)),
  sequences: required(integer(1, 65_536)),
};

// Frees states that were never disposed of. Callers should dispose of states themselves.
const forgotten = new FinalizationRegistry<RecurrentStatesHandle>((handle) => {
  try {
    native.disposeRecurrentStates(handle);
  } catch {
    // The device was closed first.
  }
});

/**
 * Keeps the states of recurrent layers (gated delta networks) after the committed positions of some sequences. A sequence that has a
 * state has one block of memory for all layers: for each layer, S [valueHeads, keyDim, valueDim] and the last taps − 1 inputs of the
 * convolution, in float32. Blocks do not move, so captures stay valid while sequences get and give back states.
 */
export class RecurrentStates implements Disposable {
  readonly #handle: RecurrentStatesHandle;
  #disposed = false;
  /** The sizes. */
  readonly options: Readonly<RecurrentStatesOptions>;
  /** Numbers in a row of queries, keys and values: 2 · keyHeads · keyDim + valueHeads · valueDim. */
  readonly channels: number;
  /** Number of sequences. */
  readonly sequences: number;

  /**
   * Makes states for sequences none of which has one yet.
   * @throws ForetokenError INVALID_ARGUMENT naming the option, what was given and what is allowed; OUT_OF_MEMORY; UNSUPPORTED inside a
   * capture
   */
  constructor(
    /** The device of the states. */
    readonly device: Device,
    options: RecurrentStatesOptions,
  ) {
    check('RecurrentStates: device', device, deviceChecker);
    const checked = checkOptions('RecurrentStates', options, OPTIONS);
    const { layers, keyHeads, valueHeads, keyDim, valueDim, taps, sequences } = checked;
    this.#handle = native.recurrentStates(
      ...([device.handle, layers, keyHeads, valueHeads, keyDim, valueDim, taps, sequences] as const),
    );
    forgotten.register(this, this.#handle, this);
    this.options = checked;
    this.channels = 2 * keyHeads * keyDim + valueHeads * valueDim;
    this.sequences = sequences;
  }

  /**
   * Whether a value has states of this copy of the package.
   * @internal
   */
  static isRecurrentStates(value: unknown): value is RecurrentStates {
    return typeof value === 'object' && value !== null && #handle in value;
  }

  /** The native handle. Operations refuse it after `dispose`. */
  get handle(): RecurrentStatesHandle {
    return this.#handle;
  }

  /** Bytes of all blocks, in use or free. */
  get bytes(): number {
    return native.recurrentBytes(this.#handle);
  }

  /**
   * Gives a sequence a state of zeros, if it has none.
   * @throws ForetokenError OUT_OF_MEMORY; the states are then unchanged. UNSUPPORTED inside a capture
   */
  reserve(sequence: number): void {
    this.#check('sequence', sequence);
    native.recurrentReserve(this.#handle, sequence);
  }

  /**
   * Takes the state of a sequence back, for any sequence; does nothing if the sequence has none.
   * @throws ForetokenError UNSUPPORTED inside a capture
   */
  release(sequence: number): void {
    this.#check('sequence', sequence);
    native.recurrentRelease(this.#handle, sequence);
  }

  /**
   * Replaces the state of one sequence by that of another, as to keep a state for later. `to` gets a state if it has none.
   * @throws ForetokenError INVALID_ARGUMENT if `from` has no state; OUT_OF_MEMORY; UNSUPPORTED inside a capture
   */
  copy(from: number, to: number): void {
    this.#check('from', from);
    this.#check('to', to);
    native.recurrentCopy(this.#handle, from, to);
  }

  #check(name: string, sequence: number): void {
    checkInteger(`RecurrentStates: ${name}`, sequence, 0, this.sequences - 1);
  }

  /** Frees the memory; captures that use it keep it until they are disposed of. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    forgotten.unregister(this);
    if (!this.device.closed) native.disposeRecurrentStates(this.#handle);
  }

  /** Calls {@link dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
