import { createReadStream } from 'node:fs';
import { ForetokenError } from '../../errors';
import { fileAccessError } from '../../files';

/**
 * Largest part of a file to parse at once. JSON values take up to about twenty times their bytes, and V8 ends the process if
 * they do not fit into its heap.
 */
export const MAX_PART_BYTES = 128 << 20;

/** A part of a file: a line, or an element of an array. */
export interface FilePart {
  readonly bytes: Uint8Array;
  /** Offset of the first byte in the file. */
  readonly offset: number;
  /** Number of the part's first line, from 1. */
  readonly line: number;
}

/** Reads the bytes of a file, piece by piece. */
export async function* readPieces(path: string): AsyncGenerator<Buffer> {
  try {
    yield* createReadStream(path, { highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>;
  } catch (cause) {
    throw fileAccessError('read', path, cause);
  }
}

/** Joins a part of a file from several pieces, and refuses a part that is too long. */
export class PartBuilder {
  #pieces: Uint8Array[] = [];
  #length = 0;
  #offset = 0;
  #line: number | undefined;

  constructor(
    private readonly path: string,
    /** `line` or `value`, for messages. */
    private readonly kind: string,
  ) {}

  /** Sets the first line of the part. Only the first call for each part counts. */
  beginsOn(line: number): void {
    this.#line ??= line;
  }

  /** @throws INVALID_DATA naming file and line, if the part has more than {@link MAX_PART_BYTES} */
  add(piece: Uint8Array): void {
    this.#pieces.push(piece);
    this.#length += piece.length;
    if (this.#length <= MAX_PART_BYTES) return;
    const where = this.#line === undefined ? this.path : `${this.path}:${this.#line}`;
    const problem = `the ${this.kind} has more than ${MAX_PART_BYTES >> 20} MiB, the maximum for one document`;
    throw new ForetokenError('INVALID_DATA', `${where}: ${problem}`);
  }

  /** Returns the part. The next part begins `skip` bytes after it. */
  take(skip: number): FilePart {
    const bytes = this.#pieces.length === 1 ? this.#pieces[0]! : Buffer.concat(this.#pieces);
    const part = { bytes, offset: this.#offset, line: this.#line ?? 1 };
    this.#pieces = [];
    this.#length = 0;
    this.#line = undefined;
    this.#offset += bytes.length + skip;
    return part;
  }
}

/** Reads the lines of a file of any length, without their line feeds. */
export async function* readLines(path: string): AsyncGenerator<FilePart> {
  const part = new PartBuilder(path, 'line');
  let line = 1;
  for await (const piece of readPieces(path)) {
    let start = 0;
    for (let end = piece.indexOf(0x0a); end >= 0; end = piece.indexOf(0x0a, start)) {
      part.beginsOn(line);
      part.add(piece.subarray(start, end));
      yield part.take(1);
      line += 1;
      start = end + 1;
    }
    part.beginsOn(line);
    part.add(piece.subarray(start));
  }
  const last = part.take(0);
  if (last.bytes.length > 0) yield last;
}
