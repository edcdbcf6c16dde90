/** Milliseconds between pauses: long enough to cost nothing, short enough for timers and signals. */
const INTERVAL_MS = 20;

/** Lets the event loop run during long work, so that timers, signals and requests are served. */
export class Pauses {
  #last = performance.now();

  constructor(private readonly signal?: AbortSignal) {}

  /**
   * Pauses if the last pause is long enough ago.
   * @throws the reason of the signal once it is aborted
   */
  async pause(): Promise<void> {
    if (performance.now() - this.#last > INTERVAL_MS) {
      await new Promise((resolve) => setImmediate(resolve));
      this.#last = performance.now();
    }
    this.signal?.throwIfAborted();
  }
}
