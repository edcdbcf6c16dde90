import { createHash } from 'node:crypto';
import { readSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { openForReading, readFully, writeFileAtomic, writeFully } from '../../files';
import { check, checkIndex, path as pathChecker } from '../../check';
import { ForetokenError } from '../../errors';

// Layout: 64 bytes of header | the tokens, 2 or 4 bytes each | the position of each document's first token, u64.
// All numbers are little-endian. The checksum covers everything else in the file.
/** First bytes of every token file. */
export const TOKEN_FILE_MAGIC = 'FTTOKENS';
/** Version of the format, a part of the keys of cached files. */
export const TOKEN_FILE_VERSION = 1;
const HEADER_BYTES = 64;
/** The last 16 bytes of the header. */
const CHECKSUM_BYTES = 16;
const CHECKSUM_AT = HEADER_BYTES - CHECKSUM_BYTES;
const CHUNK_BYTES = 4 << 20;

interface Header {
  readonly bytesPerToken: 2 | 4;
  readonly vocabSize: number;
  readonly length: number;
  readonly documentCount: number;
}

/**
 * Writes documents as token ids into a token file, atomically.
 *
 * @param vocabSize all ids are below it; it decides between 2 and 4 bytes for each token
 * @param documents empty documents are left out, because they have no first token
 * @throws INDEX_OUT_OF_RANGE naming the document and the id
 */
export async function writeTokenFile(
  path: string,
  vocabSize: number,
  documents: AsyncIterable<Int32Array> | Iterable<Int32Array>,
): Promise<void> {
  const bytesPerToken = vocabSize <= 0x10000 ? 2 : 4;
  await writeFileAtomic(path, async (handle) => {
    const hash = createHash('sha256');
    const starts: number[] = [];
    let length = 0;
    let written = HEADER_BYTES;
    // Gather documents before a write, because they may be short.
    let pending: Uint8Array[] = [];
    let pendingBytes = 0;
    const append = async (bytes: Uint8Array, least: number): Promise<void> => {
      pending.push(bytes);
      pendingBytes += bytes.length;
      if (pendingBytes < least) return;
      await writeFully(handle, Buffer.concat(pending), written, (piece) => hash.update(piece));
      written += pendingBytes;
      pending = [];
      pendingBytes = 0;
    };
    for await (const tokens of documents) {
      if (tokens.length === 0) continue;
      checkTokens(tokens, vocabSize, starts.length);
      // Copy in either case, because the array belongs to the caller.
      await append(
        bytesOf(bytesPerToken === 2 ? new Uint16Array(tokens) : new Int32Array(tokens)),
        CHUNK_BYTES,
      );
      starts.push(length);
      length += tokens.length;
    }
    await append(bytesOf(BigUint64Array.from(starts, BigInt)), 0);
    const header = encodeHeader({ bytesPerToken, vocabSize, length, documentCount: starts.length });
    hash.update(header.subarray(0, CHECKSUM_AT)).digest().copy(header, CHECKSUM_AT, 0, CHECKSUM_BYTES);
    await writeFully(handle, header, 0);
  });
}

function checkTokens(tokens: Int32Array, vocabSize: number, document: number): void {
  // A plain loop: a corpus has billions of tokens, and an iterator takes ten times as long.
  for (let i = 0; i < tokens.length; i += 1) {
    const token = tokens[i]!;
    if (token >= 0 && token < vocabSize) continue;
    const problem = `token ${token} at ${i} of document ${document} is not in a vocabulary of ${vocabSize}`;
    throw new ForetokenError('INDEX_OUT_OF_RANGE', `writeTokenFile: ${problem}`);
  }
}

function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

function encodeHeader({ bytesPerToken, vocabSize, length, documentCount }: Header): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.write(TOKEN_FILE_MAGIC, 'latin1');
  header.writeUInt32LE(TOKEN_FILE_VERSION, 8);
  header.writeUInt32LE(bytesPerToken, 12);
  header.writeBigUInt64LE(BigInt(vocabSize), 16);
  header.writeBigUInt64LE(BigInt(length), 24);
  header.writeBigUInt64LE(BigInt(documentCount), 32);
  return header;
}

function parseHeader(path: string, header: Buffer, size: number): Header {
  if (size < HEADER_BYTES || header.toString('latin1', 0, TOKEN_FILE_MAGIC.length) !== TOKEN_FILE_MAGIC) {
    throw corrupt(path, 'not a token file');
  }
  const version = header.readUInt32LE(8);
  if (version !== TOKEN_FILE_VERSION)
    throw corrupt(
      path,
      `it has version ${version} of the format; this package reads version ${TOKEN_FILE_VERSION}`,
    );
  const [vocabSize, length, documentCount] = [16, 24, 32].map((at) => Number(header.readBigUInt64LE(at)));
  const bytesPerToken = header.readUInt32LE(12);
  const expected = HEADER_BYTES + length! * bytesPerToken + documentCount! * 8;
  if ((bytesPerToken !== 2 && bytesPerToken !== 4) || expected !== size) {
    const what = `${length} tokens of ${bytesPerToken} bytes and ${documentCount} documents`;
    throw corrupt(path, `${what} take ${expected} bytes, but it has ${size}; is it truncated?`);
  }
  return { bytesPerToken, vocabSize: vocabSize!, length: length!, documentCount: documentCount! };
}

function corrupt(path: string, problem: string): ForetokenError {
  return new ForetokenError('CORRUPT_FILE', `${path}: ${problem}`);
}

/**
 * Documents as token ids on the disk. `read` reads tokens from the file, so a corpus may be larger than the memory; the system
 * caches what is used.
 */
export class TokenFile {
  private constructor(
    /** Path of the file. */
    readonly path: string,
    private readonly handle: FileHandle,
    private readonly header: Header,
    private readonly starts: Float64Array,
    /** Identity of the corpus: depends on every token and document. */
    readonly checksum: string,
  ) {}

  /**
   * Opens a file, reads it once and checks its checksum.
   * @throws FILE_ACCESS if the file cannot be read; CORRUPT_FILE if its content is not what was written
   */
  static async open(path: string): Promise<TokenFile> {
    check('TokenFile.open: path', path, pathChecker);
    const handle = await openForReading(path);
    try {
      return await TokenFile.#check(path, handle);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  static async #check(path: string, handle: FileHandle): Promise<TokenFile> {
    const { size } = await handle.stat();
    const bytes = Buffer.alloc(HEADER_BYTES);
    await readFully(handle, bytes, 0);
    const header = parseHeader(path, bytes, size);
    const hash = createHash('sha256');
    const tokensEnd = HEADER_BYTES + header.length * header.bytesPerToken;
    const buffer = Buffer.alloc(Math.min(CHUNK_BYTES, tokensEnd - HEADER_BYTES));
    for (let at = HEADER_BYTES; at < tokensEnd; at += buffer.length) {
      const part = buffer.subarray(0, tokensEnd - at);
      await readFully(handle, part, at, (piece) => hash.update(piece));
    }
    const starts = new BigUint64Array(header.documentCount);
    await readFully(handle, bytesOf(starts), tokensEnd, (piece) => hash.update(piece));
    const checksum = hash.update(bytes.subarray(0, CHECKSUM_AT)).digest().subarray(0, CHECKSUM_BYTES);
    if (!checksum.equals(bytes.subarray(CHECKSUM_AT))) {
      throw corrupt(path, 'its content is not what was written (the checksum differs)');
    }
    return new TokenFile(path, handle, header, Float64Array.from(starts, Number), checksum.toString('hex'));
  }

  /** Tokens in all documents together. */
  get length(): number {
    return this.header.length;
  }

  /** Number of documents. */
  get documentCount(): number {
    return this.header.documentCount;
  }

  /** Size of the vocabulary: all token ids are below it. */
  get vocabSize(): number {
    return this.header.vocabSize;
  }

  /** Position of the first token of document i; `length` for i = documentCount. */
  documentStart(i: number): number {
    checkIndex(this.path, 'documentStart: document', i, this.documentCount + 1);
    return this.starts[i] ?? this.length;
  }

  /** Returns the document of the token at `position`. */
  documentAt(position: number): number {
    checkIndex(this.path, 'documentAt: position', position, this.length);
    let low = 0;
    let high = this.documentCount - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (this.starts[middle]! <= position) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Reads `count` tokens from `start` on into the beginning of `out`. */
  read(start: number, count: number, out: Int32Array): void {
    checkIndex(this.path, 'read: start', start, this.length + 1);
    checkIndex(this.path, 'read: count', count, Math.min(this.length - start, out.length) + 1);
    const { bytesPerToken } = this.header;
    // Tokens of 4 bytes are read in place; those of 2 bytes into the second half, then widened from the front.
    const narrow = bytesPerToken === 2;
    const bytes = new Uint8Array(
      out.buffer,
      out.byteOffset + (narrow ? count * 2 : 0),
      count * bytesPerToken,
    );
    this.#readBytes(HEADER_BYTES + start * bytesPerToken, bytes);
    if (narrow) {
      const tokens = new Uint16Array(bytes.buffer, bytes.byteOffset, count);
      for (let i = 0; i < count; i += 1) out[i] = tokens[i]!;
    }
  }

  /** Closes the file; later reads throw INVALID_HANDLE. */
  close(): Promise<void> {
    return this.handle.close();
  }

  #readBytes(at: number, bytes: Uint8Array): void {
    if (this.handle.fd < 0) throw new ForetokenError('INVALID_HANDLE', `${this.path}: it was closed`);
    for (let done = 0; done < bytes.length;) {
      const read = readSync(this.handle.fd, bytes, done, bytes.length - done, at + done);
      if (read === 0) throw corrupt(this.path, 'it became shorter while it was open');
      done += read;
    }
  }
}
