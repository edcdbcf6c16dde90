import { redrawsLines } from '../terminal';
import type { CorpusProgress } from '../train/data';
import { roomOf } from './bar';
import type { ProgressStream } from './progress';

const TERMINAL_INTERVAL_MS = 100;
const PLAIN_INTERVAL_MS = 10_000;
const CLEAR_LINE = '\r\u001b[K';

/**
 * Shows the progress of long work: in a terminal on one line, rewritten at most ten times a second; elsewhere as a line every
 * ten seconds. Work that takes less than one such interval shows nothing.
 */
export class StatusLine {
  #lastShown = performance.now();
  #shown = false;

  /** @param stream usually `process.stderr` */
  constructor(private readonly stream: ProgressStream) {}

  update(text: string): void {
    const redraws = redrawsLines(this.stream);
    const now = performance.now();
    if (now - this.#lastShown < (redraws ? TERMINAL_INTERVAL_MS : PLAIN_INTERVAL_MS)) return;
    this.#lastShown = now;
    this.#shown = true;
    this.stream.write(redraws ? CLEAR_LINE + text.slice(0, roomOf(this.stream)) : `${text}\n`);
  }

  /** Clears the line in a terminal, so that other output can follow. */
  clear(): void {
    if (redrawsLines(this.stream) && this.#shown) this.stream.write(CLEAR_LINE);
    this.#shown = false;
  }
}

/** Describes the progress of preparing a corpus. */
export function describeCorpus({ phase, bytes, totalBytes, documents, tokens }: CorpusProgress): string {
  const share = totalBytes === 0 ? 100 : Math.floor((100 * bytes) / totalBytes);
  const made = phase === 'tokenizing' ? `, ${tokens} tokens in ${documents} documents` : '';
  return `${phase} text: ${share} % of ${(totalBytes / 2 ** 20).toFixed(1)} MiB${made}`;
}
