import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

const HEADER_BYTES = 64;

/**
 * Whether a library ends before its own headers say, as after a copy that was broken off. Loading such a file ends the process with
 * a bus error. Of files of another format nothing is said.
 */
export function isCutOff(file: string): boolean {
  const descriptor = openSync(file, 'r');
  try {
    const header = Buffer.alloc(HEADER_BYTES);
    const { size } = fstatSync(descriptor);
    const read = readSync(descriptor, header, 0, HEADER_BYTES, 0);
    const is64BitsLittleEndian = header.toString('latin1', 0, 6) === '\x7fELF\x02\x01';
    if (!is64BitsLittleEndian) return read === 0;
    // The table of sections is what linkers write last.
    const sections = header.readBigUInt64LE(40);
    const end = sections + BigInt(header.readUInt16LE(58) * header.readUInt16LE(60));
    return read < HEADER_BYTES || end > BigInt(size);
  } finally {
    closeSync(descriptor);
  }
}
