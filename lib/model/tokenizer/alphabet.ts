const BYTES = 256;

/**
 * The visible character for each byte in a byte-level tokenizer.json, GPT-2's alphabet: printable Latin-1 characters for
 * themselves, and the characters from U+0100 on for the other bytes, in order.
 */
export const BYTE_ALPHABET: readonly string[] = (() => {
  const printable = (byte: number) => (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
  let others = 0;
  return Array.from({ length: BYTES }, (_, byte) =>
    String.fromCharCode(printable(byte) ? byte : BYTES + others++),
  );
})();

const BYTE_OF = new Map(BYTE_ALPHABET.map((character, byte) => [character, byte]));

/** Writes the bytes of a text's UTF-8 in the alphabet. */
export function inAlphabet(text: string): string {
  let written = '';
  for (const byte of Buffer.from(text, 'utf8')) written += BYTE_ALPHABET[byte]!;
  return written;
}

/** Returns the bytes that a token stands for. A token with a character outside the alphabet is plain text. */
export function bytesOfToken(token: string): Uint8Array {
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i += 1) {
    const byte = BYTE_OF.get(token[i]!);
    if (byte === undefined) return Buffer.from(token, 'utf8');
    bytes[i] = byte;
  }
  return bytes;
}
