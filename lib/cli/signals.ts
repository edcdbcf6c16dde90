const EXIT_CODES = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;
const SIGNALS = Object.keys(EXIT_CODES) as (keyof typeof EXIT_CODES)[];

/** `timeout` and some runners signal a process and its group: what follows this soon is the same request again. */
const SAME_REQUEST_SECONDS = 1;

/**
 * Runs `work`, which ends early, and in order, when its signal is aborted: by Ctrl-C, SIGTERM or a terminal that was
 * closed. A later Ctrl-C, which only a person presses, ends the process at once; a system that shuts down may well send
 * several of the other signals, and what was begun in order is then to be finished.
 * @param work may throw the signal's reason to end.
 * @param atOnce what to say when a later Ctrl-C ends the process.
 * @returns the exit code: 0, or the one that stands for the signal
 */
export async function interruptible(
  work: (signal: AbortSignal) => Promise<void>,
  atOnce?: () => string,
): Promise<number> {
  const controller = new AbortController();
  let exitCode = 0;
  let first = 0;
  const onSignal = (name: keyof typeof EXIT_CODES): void => {
    if (exitCode !== 0) {
      const later = performance.now() - first > SAME_REQUEST_SECONDS * 1000;
      if (!later || name !== 'SIGINT') return;
      if (atOnce) console.error(atOnce());
      process.exit(EXIT_CODES[name]);
    }
    first = performance.now();
    exitCode = EXIT_CODES[name];
    controller.abort();
  };
  for (const name of SIGNALS) process.on(name, onSignal);
  try {
    await work(controller.signal);
  } catch (error) {
    if (error !== controller.signal.reason) throw error;
  } finally {
    for (const name of SIGNALS) process.off(name, onSignal);
  }
  return exitCode;
}
