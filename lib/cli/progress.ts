import { redrawsLines, type TextStream } from '../terminal';
import type { StepResult } from '../train/run';
import { drawBar, formatDuration, roomOf } from './bar';

const TERMINAL_INTERVAL_MS = 100;
const PLAIN_INTERVAL_MS = 10_000;
/** Rates cover about the last half minute. */
const MEMORY_MS = 30_000;
const CLEAR_LINE = '\r\u001b[K';

/** The output of progress: a terminal or any other stream of text. */
export interface ProgressStream extends TextStream {
  readonly columns?: number;
}

/**
 * Shows the progress of a training run: in a terminal a bar, redrawn in place at most ten times a second; elsewhere, and in a
 * terminal without cursor control, a line every ten seconds.
 */
export class Progress {
  readonly #first: number;
  readonly #recent = { milliseconds: 0, tokens: 0, steps: 0 };
  #last = performance.now();
  #lastShown = -Infinity;
  #step: number;
  /** The line, and shorter versions for narrower terminals. */
  #lines: string[] = [];
  #lineShown = true;
  readonly #redraws: boolean;
  readonly #interval: number;

  /**
   * @param steps steps of the whole run
   * @param stream usually `process.stderr`
   * @param firstStep steps done before the run was resumed
   */
  constructor(
    private readonly steps: number,
    private readonly stream: ProgressStream,
    firstStep = 0,
  ) {
    this.#first = firstStep;
    this.#step = firstStep;
    this.#redraws = redrawsLines(stream);
    this.#interval = this.#redraws ? TERMINAL_INTERVAL_MS : PLAIN_INTERVAL_MS;
  }

  /**
   * Records the work since the last call.
   * @param done.step steps done in all
   * @param done.loss the minimised loss: a weighted sum over the heads
   * @param done.headLosses mean loss of each head in nats; evaluations show that of head 1, too
   * @param done.tokens tokens trained on since the last call
   */
  update({
    step,
    loss,
    headLosses,
    tokens,
  }: Pick<StepResult, 'step' | 'loss' | 'headLosses' | 'tokens'>): void {
    const now = performance.now();
    const elapsed = now - this.#last;
    const kept = Math.exp(-elapsed / MEMORY_MS);
    this.#recent.milliseconds = this.#recent.milliseconds * kept + elapsed;
    this.#recent.tokens = this.#recent.tokens * kept + tokens;
    this.#recent.steps = this.#recent.steps * kept + (step - this.#step);
    this.#last = now;
    this.#step = step;
    this.#lines = this.#describe(loss, headLosses[0] ?? null);
    this.#lineShown = false;
    if (step >= this.steps || now - this.#lastShown >= this.#interval) this.#show(now);
  }

  /** Shows the progress of an evaluation in place of the bar. */
  evaluating({ rows, of }: { rows: number; of: number }): void {
    const now = performance.now();
    if (now - this.#lastShown < this.#interval) return;
    this.#lastShown = now;
    const text = `evaluating: ${rows} of ${of} rows`;
    this.stream.write(this.#redraws ? `${CLEAR_LINE}${text.slice(0, roomOf(this.stream))}` : `${text}\n`);
  }

  /** Writes a separate line above the bar. */
  note(text: string): void {
    this.stream.write(this.#redraws ? `${CLEAR_LINE}${text}\n${this.#shown()}` : `${text}\n`);
  }

  /** Shows the last state, unless it is on the screen already, and leaves it there. */
  finish(): void {
    if (!this.#lineShown) this.#show(performance.now());
    if (this.#redraws && this.#lines.length > 0) this.stream.write('\n');
  }

  #show(now: number): void {
    this.#lastShown = now;
    this.#lineShown = true;
    this.stream.write(this.#redraws ? CLEAR_LINE + this.#shown() : `${this.#lines[0]}\n`);
  }

  /** The bar and as much of the line as fits beside it. */
  #shown(): string {
    if (this.#lines.length === 0) return '';
    return drawBar({ texts: this.#lines, share: this.#step / this.steps }, roomOf(this.stream));
  }

  /** The whole line; then without the rate, without the weighted loss too, and without any loss. */
  #describe(loss: number, ofHead1: number | null): string[] {
    const { milliseconds, tokens, steps } = this.#recent;
    const left = (this.steps - this.#step) * (milliseconds / steps);
    const isTimed = milliseconds > 0 && this.#step > this.#first;
    const done = `step ${this.#step}/${this.steps}`;
    const weighted = `weighted loss ${loss.toFixed(4)}`;
    const head1 = ofHead1 === null ? [] : [`head 1 ${ofHead1.toFixed(4)}`];
    const rate = isTimed ? [`${formatCount((tokens / milliseconds) * 1000)} tokens/s`] : [];
    const time = isTimed ? [`${formatDuration(left)} left`] : [];
    const lines = [
      [done, weighted, ...head1, ...rate, ...time],
      [done, weighted, ...head1, ...time],
      [done, ...head1, ...time],
      [done, ...time],
    ];
    return lines.map((parts) => parts.join('  '));
  }
}

function formatCount(count: number): string {
  if (count >= 1e6) return `${(count / 1e6).toFixed(2)}M`;
  return count >= 1e3 ? `${(count / 1e3).toFixed(1)}k` : count.toFixed(0);
}
