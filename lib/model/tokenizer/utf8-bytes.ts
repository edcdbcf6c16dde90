import { firstInvalidUtf8 } from '../../utf8';

/** Decodes UTF-8 that comes byte by byte. Each byte that belongs to no character gives a U+FFFD. */
export class Utf8Bytes {
  /** The beginning of a character. */
  #pending: number[] = [];

  /** Takes a byte and returns the text that is now certain. */
  push(byte: number): string {
    this.#pending.push(byte);
    let text = '';
    while (this.#pending.length > 0) {
      const whole = completed(this.#pending);
      if (firstInvalidUtf8(whole) < 0) {
        if (whole.length > this.#pending.length) return text;
        text += Buffer.from(whole).toString('utf8');
        this.#pending = [];
      } else {
        text += '\ufffd';
        this.#pending.shift();
      }
    }
    return text;
  }

  /** Ends the text: returns U+FFFD for each byte of an unfinished character. */
  end(): string {
    const text = '\ufffd'.repeat(this.#pending.length);
    this.#pending = [];
    return text;
  }
}

/** Appends the bytes that the first byte's character may still lack. They make it valid if any do. */
function completed(bytes: readonly number[]): Uint8Array {
  const first = bytes[0]!;
  const length = first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  // 0x80 may follow every second byte, and 0xa0 or 0x90 those few first bytes that 0x80 may not.
  const second = first === 0xe0 ? 0xa0 : 0x90;
  const rest = Array.from({ length: Math.max(0, length - bytes.length) }, (_, i) =>
    i === 0 && bytes.length === 1 ? (first === 0xf4 || first === 0xed ? 0x80 : second) : 0x80,
  );
  return Uint8Array.from([...bytes, ...rest]);
}
