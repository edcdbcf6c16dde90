import { isUtf8 } from 'node:buffer';
import { ForetokenError, type ErrorCode } from './errors';

/**
 * Decodes UTF-8 bytes, without a byte order mark at the beginning.
 *
 * @param where names the source of the bytes in messages: a path, or `standard input`
 * @param options.offset offset of the bytes in their source. Default 0
 * @param options.code code of the error. Default INVALID_DATA
 * @throws ForetokenError naming the first byte that is not UTF-8 and its offset; such bytes are never replaced
 */
export function decodeUtf8(
  where: string,
  bytes: Uint8Array,
  { offset = 0, code = 'INVALID_DATA' }: { offset?: number; code?: ErrorCode } = {},
): string {
  if (!isUtf8(bytes)) {
    const index = firstInvalidUtf8(bytes);
    const byte = bytes[index]!.toString(16).padStart(2, '0');
    throw new ForetokenError(code, `${where}: not UTF-8: byte 0x${byte} at offset ${offset + index}`);
  }
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  return offset === 0 && text.startsWith('\ufeff') ? text.slice(1) : text;
}

/** Finds the index of the first byte that does not belong to valid UTF-8, or -1. For messages; `isUtf8` is faster. */
export function firstInvalidUtf8(bytes: Uint8Array): number {
  let i = 0;
  while (i < bytes.length) {
    const length = sequenceLength(bytes, i);
    if (length === 0) return i;
    i += length;
  }
  return -1;
}

/** Returns the length of the well-formed sequence that begins at i (table 3-7 of the Unicode standard), or 0. */
function sequenceLength(bytes: Uint8Array, i: number): number {
  const first = bytes[i]!;
  if (first < 0x80) return 1;
  const length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  // The limits of the second byte exclude overlong forms, surrogates and characters beyond U+10FFFF.
  const lowest = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const highest = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  for (let k = 1; k < length; k += 1) {
    const byte = bytes[i + k] ?? 0;
    if (byte < (k === 1 ? lowest : 0x80) || byte > (k === 1 ? highest : 0xbf)) return 0;
  }
  return length;
}
