import { checkInteger } from '../../check';

/** Position in the order: `index` rows of epoch `epoch` have been used; epochs count from 0. */
export interface OrderState {
  readonly epoch: number;
  readonly index: number;
}

const ROUNDS = 8;

/** The finalizer of MurmurHash3: every bit of the result depends on every bit of x. Unsigned 32 bits. */
function mix(x: number): number {
  let h = x;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Derives one key for each round from all bits of seed and epoch. */
function roundKeys(seed: number, epoch: number): number[] {
  let state = 0x9e3779b9;
  for (const word of [seed, Math.floor(seed / 2 ** 32), epoch, Math.floor(epoch / 2 ** 32)]) {
    state = mix(state ^ word) + 0x9e3779b9;
  }
  return Array.from({ length: ROUNDS }, (_, round) => mix(state + round));
}

/**
 * Shuffles the numbers 0 … count − 1 without a table: a Feistel network permutes the smallest power of 4 that holds them, and
 * is applied again while the result is too large. Integer arithmetic alone, so the order is the same on every machine.
 *
 * @param count at most 2³²
 * @returns a function from a place in the order to the number at that place
 */
export function permutation(count: number, seed: number, epoch: number): (place: number) => number {
  const keys = roundKeys(seed, epoch);
  // At least 64 values, because a network of very few bits cannot produce every order.
  const halfBits = Math.max(3, Math.ceil(Math.log2(count) / 2));
  const half = 2 ** halfBits;
  const permute = (value: number): number => {
    let left = Math.floor(value / half);
    let right = value % half;
    for (const key of keys) [left, right] = [right, left ^ (mix(right ^ key) % half)];
    return left * half + right;
  };
  return (place) => {
    let value = permute(place);
    while (value >= count) value = permute(value);
    return value;
  };
}

/**
 * The endless order in which a run uses rows: all rows, shuffled again in every epoch. It depends on the seed and the number of
 * rows taken, not on their division into batches; a batch may continue into the next epoch.
 */
export class RowOrder {
  #epoch: number;
  #index: number;
  #rowAt: (place: number) => number;

  /**
   * @param rows number of rows
   * @param seed any safe integer
   * @param state position to continue from, a value of `state`
   */
  constructor(
    private readonly rows: number,
    private readonly seed: number,
    state: OrderState = { epoch: 0, index: 0 },
  ) {
    checkInteger('RowOrder: rows', rows, 1, 2 ** 32);
    checkInteger('RowOrder: seed', seed, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
    checkInteger('RowOrder: epoch', state.epoch, 0);
    checkInteger('RowOrder: index', state.index, 0, rows);
    this.#epoch = state.epoch;
    this.#index = state.index;
    this.#rowAt = permutation(rows, seed, this.#epoch);
  }

  get state(): OrderState {
    return { epoch: this.#epoch, index: this.#index };
  }

  /** Returns the next `count` rows. */
  next(count: number): number[] {
    return Array.from({ length: count }, () => {
      if (this.#index === this.rows) {
        this.#epoch += 1;
        this.#index = 0;
        this.#rowAt = permutation(this.rows, this.seed, this.#epoch);
      }
      this.#index += 1;
      return this.#rowAt(this.#index - 1);
    });
  }
}
