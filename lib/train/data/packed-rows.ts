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

/** Most rows of a batch, and batches of a step: more than needed, and few enough for a JavaScript array. */
export const MOST_ROWS = 2 ** 20;

/**
 * Checks that rows of tokens, with their starts and the targets of all heads, fit into the memory of the machine.
 * @param where beginning of the message, such as `trainer: batchSize 8 × accumulation 2`
 * @throws OUT_OF_MEMORY
 */
export function checkRowsFit(where: string, rows: number, rowLength: number, heads: number): void {
  const bytes = rows * rowLength * (2 + heads) * Int32Array.BYTES_PER_ELEMENT;
  if (bytes <= totalmem()) return;
  const [needed, available] = [bytes, totalmem()].map((size) => (size / 2 ** 30).toFixed(1));
  const what = `${rows} rows of ${rowLength} tokens, with targets of ${heads} heads`;
  throw new ForetokenError(
    'OUT_OF_MEMORY',
    `${where}: ${what}, take ${needed} GiB; the machine has ${available}`,
  );
}

/** Tokens `start` … `end` − 1 of a token file. */
export interface TokenRange {
  /** The first token. */
  readonly start: number;
  /** The token after the last one. */
  readonly end: number;
}

/** B rows of T tokens, row after row. */
export interface PackedBatch {
  /** `[B·T]`: token ids. */
  readonly tokens: Int32Array;
  /** `[B·T]`: index in its row at which the document of each token begins; 0 if the document began before the row. */
  readonly starts: Int32Array;
  /** `[B·T]` for each head k, at index k − 1: the token k positions later in the same document, or -100. */
  readonly targets: readonly Int32Array[];
}

/**
 * Splits a stream of `length` tokens into a training part and a held-out part at its end, a `fraction` of the stream.
 * @throws INVALID_ARGUMENT unless 0 < fraction < 1
 */
export function splitHeldOut(
  length: number,
  fraction: number,
): {
  /** The first tokens. */
  training: TokenRange;
  /** The last `fraction` of all tokens, rounded down. */
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

/** How to cut a token file into rows. */
export interface PackedRowsOptions {
  /** Tokens of a row, T. */
  readonly rowLength: number;
  /** Number of heads n: rows have targets for heads 1 … n. */
  readonly heads: number;
  /** Default: the whole file. */
  readonly range?: TokenRange;
}

const size = integer(1, 2 ** 31 - 1);
const place = integer(0);

/**
 * A range of a token file, cut into rows of T tokens without gaps. Documents continue from row to row. Targets may lie in the
 * next row, but never in another document or outside the range.
 */
export class PackedRows {
  /** Number of rows. Each has a next token for its last token; the rest of the range is left out. */
  readonly length: number;
  readonly #file: TokenFile;
  readonly #rowLength: number;
  /** Number of heads n: rows have targets for heads 1 … n. */
  readonly heads: number;
  readonly #range: TokenRange;

  /**
   * @throws INVALID_DATA if the range is shorter than one row and the token after it
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
      const problem = `there are ${end - start} tokens${part}, but a row of ${this.#rowLength} needs ${this.#rowLength + 1}`;
      throw new ForetokenError('INVALID_DATA', `${file.path}: ${problem}; use more text or shorter rows`);
    }
  }

  /**
   * Reads rows in the given order.
   * @throws INDEX_OUT_OF_RANGE if a row does not exist; OUT_OF_MEMORY if the rows do not fit into memory
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

  /** Returns the documents of the row at `first`, relative to `first`; a document that began earlier has a negative start. */
  *#documentsOf(first: number): Generator<TokenRange> {
    const file = this.#file;
    for (let i = file.documentAt(first); i < file.documentCount; i += 1) {
      const start = file.documentStart(i) - first;
      if (start >= this.#rowLength) return;
      yield { start, end: Math.min(file.documentStart(i + 1), this.#range.end) - first };
    }
  }
}
