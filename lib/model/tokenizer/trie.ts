import { PairTable } from './pair-table';

const NOTHING = -1;

/** Texts with a number each, for finding those that stand at a position of a text. */
export class Trie {
  readonly #children: PairTable;
  /** The number of the text that ends at each node, or -1. */
  readonly #values: number[] = [NOTHING];

  constructor(texts: ReadonlyMap<string, number>) {
    this.#children = new PairTable(4 * texts.size);
    for (const [text, value] of texts) {
      let node = 0;
      for (let i = 0; i < text.length; i += 1) {
        const unit = text.charCodeAt(i);
        let child = this.#children.get(node, unit);
        if (child < 0) {
          child = this.#values.push(NOTHING) - 1;
          this.#children.set(node, unit, child);
        }
        node = child;
      }
      this.#values[node] = value;
    }
  }

  /** Calls `found` for every text that stands at `start`, the shortest first. */
  search(text: string, start: number, found: (end: number, value: number) => void): void {
    let node = 0;
    for (let i = start; i < text.length; i += 1) {
      node = this.#children.get(node, text.charCodeAt(i));
      if (node < 0) return;
      const value = this.#values[node]!;
      if (value !== NOTHING) found(i + 1, value);
    }
  }
}
