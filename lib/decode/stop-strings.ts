/**
 * Finds stop strings in text that arrives in pieces. Holds back text that may be the beginning of a stop string until the next
 * pieces decide.
 */
export class StopStrings {
  #held = '';
  readonly #stops: readonly string[];

  constructor(stops: string | readonly string[] = []) {
    this.#stops = (typeof stops === 'string' ? [stops] : [...stops]).filter((stop) => stop.length > 0);
  }

  /** Adds a piece. Returns the text that can be shown, and whether a stop string ended it. */
  push(piece: string): { text: string; stopped: boolean } {
    const text = this.#held + piece;
    const found = this.#stops.map((stop) => text.indexOf(stop)).filter((index) => index >= 0);
    if (found.length > 0) {
      this.#held = '';
      return { text: text.slice(0, Math.min(...found)), stopped: true };
    }
    const held = Math.max(0, ...this.#stops.map((stop) => overlap(text, stop)));
    this.#held = text.slice(text.length - held);
    return { text: text.slice(0, text.length - held), stopped: false };
  }

  /** Returns the text still held back, when no more text follows. */
  flush(): string {
    const text = this.#held;
    this.#held = '';
    return text;
  }
}

/** Length of the longest suffix of `text` that is a prefix of `stop`. */
function overlap(text: string, stop: string): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length--) {
    if (text.endsWith(stop.slice(0, length))) return length;
  }
  return 0;
}
