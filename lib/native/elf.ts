import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

const HEADER_BYTES = 64;

/**
 * Whether a library is shorter than its headers say, as after an interrupted copy. Loading such a file ends the process with a bus
 * error. False for files of another format, unless they are empty.
 */
export function isCutOff(file: string): boolean {
  const descriptor = openSync(file, 'r');
  try {
    const header = Buffer.alloc(HEADER_BYTES);
    const { size } = fstatSync(descriptor);
    const read = readSync(descriptor, header, 0, HEADER_BYTES, 0);
    const is64BitsLittleEndian = header.toString('latin1', 0, 6) === '\x7fELF\x02\x01';
    if (!is64BitsLittleEndian) return read === 0;
    // Linkers write the table of sections last.
    const sections = header.readBigUInt64LE(40);
    const end = sections + BigInt(header.readUInt16LE(58) * header.readUInt16LE(60));
    return read < HEADER_BYTES || end > BigInt(size);
  } finally {
    closeSync(descriptor);
  }
}
