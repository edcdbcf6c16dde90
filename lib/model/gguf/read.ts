import type { FileHandle } from 'node:fs/promises';
import { openForReading, readFully } from '../../files';
import { corrupt, type GgufTensor, type GgufValue } from './format';
import { HeaderIsLonger, parseHeader, type Header } from './header';

/** How much of a file is read first. A vocabulary of 150,000 tokens with its merges takes 6 MB. */
const FIRST_BYTES = 8 << 20;
/** A longer header is not that of a model, and its strings would fill JavaScript's memory. */
const MAX_HEADER_BYTES = 256 << 20;

/** An open GGUF file. Only the header is in memory. */
export class GgufFile {
  private constructor(
    readonly path: string,
    private readonly handle: FileHandle,
    private readonly header: Header,
  ) {}

  /**
   * Opens a file and reads its header.
   * @throws FILE_ACCESS if the file cannot be read; CORRUPT_FILE naming the file and what is wrong; UNSUPPORTED for types of tensors
   * that are not read
   */
  static async open(path: string): Promise<GgufFile> {
    const handle = await openForReading(path);
    try {
      return new GgufFile(path, handle, await readHeader(path, handle));
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  get metadata(): ReadonlyMap<string, GgufValue> {
    return this.header.metadata;
  }

  get tensors(): ReadonlyMap<string, GgufTensor> {
    return this.header.tensors;
  }

  /**
   * Fills `out` with bytes of a tensor, from its byte `from` on.
   * @throws CORRUPT_FILE if the file has become shorter
   */
  async readBytes(name: string, out: Uint8Array, from: number): Promise<void> {
    const { begin } = this.tensors.get(name)!;
    const got = await readFully(this.handle, out, this.header.dataStart + begin + from);
    if (got < out.length)
      throw corrupt(this.path, `tensor "${name}": the file became shorter while it was open`);
  }

  close(): Promise<void> {
    return this.handle.close();
  }
}

/** Reads a header of unknown length: as much as is certainly enough for most files, and twice as much as often as that is too little. */
async function readHeader(path: string, handle: FileHandle): Promise<Header> {
  const { size } = await handle.stat();
  for (let length = FIRST_BYTES; ; length *= 2) {
    const bytes = new Uint8Array(Math.min(length, size));
    const got = await readFully(handle, bytes, 0);
    try {
      return parseHeader(path, bytes.subarray(0, got), size);
    } catch (error) {
      if (!(error instanceof HeaderIsLonger)) throw error;
      if (length >= size)
        throw corrupt(path, `its header is longer than its ${size} bytes; is it truncated?`);
      if (length >= MAX_HEADER_BYTES)
        throw corrupt(path, `its header has more than ${MAX_HEADER_BYTES} bytes`);
    }
  }
}
