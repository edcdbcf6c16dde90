import { totalmem } from 'node:os';
import { ForetokenError } from '../../errors';
import {
  check,
  checkIndex,
  checkInteger,
  checkOptions,
  instance,
  integer,
  number,
  object,
  required,
} from '../../check';
import { NO_TARGET } from '../../tensor/ops/loss/no-target';
import { TokenFile } from './token-file';

/** The most rows of a batch, and batches of a step: more than anyone uses, and few enough for an array of JavaScript. */
export const MOST_ROWS = 2 ** 20;

/**
 * Makes sure that rows of tokens, with their starts and the targets of all heads, fit into the memory of the machine.
 * @param where what is asked for, for the message, as in `trainer: batchSize 8 × accumulation 2`
 * @throws OUT_OF_MEMORY
 */
export function checkRowsFit(where: string, rows: number, rowLength: number, heads: number): void {
  const bytes = rows * rowLength * (2 + heads) * Int32Array.BYTES_PER_ELEMENT;
  if (bytes <= totalmem()) return;
  const [needed, there] = [bytes, totalmem()].map((size) => (size / 2 ** 30).toFixed(1));
  const what = `${rows} rows of ${rowLength} tokens, with targets of ${heads} heads`;
  throw new ForetokenError(
    'OUT_OF_MEMORY',
    `${where}: ${what}, take ${needed} GiB; the machine has ${there}`,
  );
}

/** Tokens `start` … `end` − 1 of a token file. */
export interface TokenRange {
  /** The first token. */
  readonly start: number;
  /** The token behind the last one. */
  readonly end: number;
}

/** B rows of T tokens, row by row. */
export interface PackedBatch {
  /** [B·T] */
  readonly tokens: Int32Array;
  /** `[B·T]`: where in its row the document of each token begins; 0 if it began before the row. */
  readonly starts: Int32Array;
  /** For each head k, at k − 1, [B·T]: the token k further on in the same document, or -100. */
  readonly targets: readonly Int32Array[];
}

/**
 * The training part and the held-out part of a stream of `length` tokens: its end, a `fraction` of it.
 * @throws INVALID_ARGUMENT unless 0 < fraction < 1.
 */
export function splitHeldOut(
  length: number,
  fraction: number,
): {
  /** From the beginning. */
  training: TokenRange;
  /** The rest: the last `fraction` of all tokens, rounded down. */
  heldOut: TokenRange;
} {
  checkInteger('splitHeldOut: length', length, 0);
  check('splitHeldOut: fraction', fraction, number(0, 1));
  if (!(fraction > 0 && fraction < 1)) {
    throw new ForetokenError(
      'INVALID_ARGUMENT',
      `the held-out fraction must be between 0 and 1, but is ${fraction}`,
    );
  }
  const border = length - Math.floor(length * fraction);
  return { training: { start: 0, end: border }, heldOut: { start: border, end: length } };
}

/** How a token file is cut into rows. */
export interface PackedRowsOptions {
  /** T. */
  readonly rowLength: number;
  /** n: targets are made for heads 1 … n. */
  readonly heads: number;
  /** The whole file unless given. */
  readonly range?: TokenRange;
}

const size = integer(1, 2 ** 31 - 1);
const place = integer(0);

/**
 * A range of a token file cut into rows of T tokens, without gaps; documents run on from row to row. Targets are
 * looked up in the next row too, but neither in another document nor outside the range.
 */
export class PackedRows {
  /** How many rows there are: as many as have a next token for their last one. The rest of the range is left out. */
  readonly length: number;
  readonly #file: TokenFile;
  readonly #rowLength: number;
  /** n: targets are made for heads 1 … n. */
  readonly heads: number;
  readonly #range: TokenRange;

  /**
   * @param options.rowLength T.
   * @param options.heads n: targets are made for heads 1 … n.
   * @param options.range the whole file unless given.
   * @throws INVALID_DATA when the range is shorter than one row.
   */
  constructor(file: TokenFile, options: PackedRowsOptions) {
    this.#file = check('PackedRows: file', file, instance(TokenFile));
    const checked = checkOptions<PackedRowsOptions>('PackedRows', options, {
      rowLength: required(size),
      heads: required(size),
      range: object<TokenRange>({ start: required(place), end: required(place) }),
    });
    this.#rowLength = checked.rowLength;
    this.heads = checked.heads;
    this.#range = checked.range ?? { start: 0, end: file.length };
    const { start, end } = this.#range;
    if (end < start || end > file.length) {
      const problem = `tokens ${start} to ${end} are not a range of its ${file.length} tokens`;
      throw new ForetokenError('INVALID_ARGUMENT', `${file.path}: ${problem}`);
    }
    this.length = Math.floor((end - start - 1) / this.#rowLength);
    if (this.length < 1) {
      const part = end - start < file.length ? ` in the part from ${start} to ${end}` : '';
      const problem = `there are ${end - start} tokens${part}, but a row of ${this.#rowLength} needs one more than that`;
      throw new ForetokenError('INVALID_DATA', `${file.path}: ${problem}; use more text or shorter rows`);
    }
  }

  /**
   * Reads some rows, in the order given.
   * @throws INDEX_OUT_OF_RANGE when a row does not exist; OUT_OF_MEMORY when so many do not fit into memory.
   */
  batch(rows: readonly number[]): PackedBatch {
    checkRowsFit(this.#file.path, rows.length, this.#rowLength, this.heads);
    const size = rows.length * this.#rowLength;
    const tokens = new Int32Array(size);
    const starts = new Int32Array(size);
    const targets = Array.from({ length: this.heads }, () => new Int32Array(size));
    const ahead = new Int32Array(this.#rowLength + this.heads);
    rows.forEach((row, b) => {
      const first = this.#firstToken(row);
      const count = Math.min(ahead.length, this.#range.end - first);
      this.#file.read(first, count, ahead);
      const base = b * this.#rowLength;
      tokens.set(ahead.subarray(0, this.#rowLength), base);
      for (const document of this.#documentsOf(first)) {
        for (let t = Math.max(document.start, 0); t < Math.min(document.end, this.#rowLength); t += 1) {
          starts[base + t] = Math.max(document.start, 0);
          targets.forEach((target, head) => {
            const next = t + head + 1;
            target[base + t] = next < document.end ? ahead[next]! : NO_TARGET;
          });
        }
      }
    });
    return { tokens, starts, targets };
  }

  #firstToken(row: number): number {
    checkIndex(this.#file.path, 'row', row, this.length);
    return this.#range.start + row * this.#rowLength;
  }

  /** The documents of the row at `first`, relative to it; a document that began before has a negative start. */
  *#documentsOf(first: number): Generator<TokenRange> {
    const file = this.#file;
    for (let i = file.documentAt(first); i < file.documentCount; i += 1) {
      const start = file.documentStart(i) - first;
      if (start >= this.#rowLength) return;
      yield { start, end: Math.min(file.documentStart(i + 1), this.#range.end) - first };
    }
  }
}
