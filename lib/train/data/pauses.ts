/** Long enough to cost nothing, short enough that nobody notices. */
const INTERVAL_MS = 20;

/** Lets the event loop have its turn in long work: timers run, signals and requests are answered. */
export class Pauses {
  #last = performance.now();

  constructor(private readonly signal?: AbortSignal) {}

  /**
   * Pauses if the last pause is some time ago.
   * @throws the reason of the signal once it is aborted.
   */
  async pause(): Promise<void> {
    if (performance.now() - this.#last > INTERVAL_MS) {
      await new Promise((resolve) => setImmediate(resolve));
      this.#last = performance.now();
    }
    this.signal?.throwIfAborted();
  }
}
