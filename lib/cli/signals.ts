const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const;

/** `timeout` and some runners signal a process and its group: what follows this soon is the same request again. */
const SAME_REQUEST_SECONDS = 1;

/**
 * Runs `work`, which ends early, and in order, when its signal is aborted: by Ctrl-C or SIGTERM. A later one ends the
 * process at once.
 * @param work may throw the signal's reason to end.
 * @returns the exit code: 0, or the one that stands for the signal
 */
export async function interruptible(work: (signal: AbortSignal) => Promise<void>): Promise<number> {
  const controller = new AbortController();
  let exitCode = 0;
  let first = 0;
  const onSignal = (name: keyof typeof EXIT_CODES): void => {
    if (exitCode !== 0) {
      if (performance.now() - first > SAME_REQUEST_SECONDS * 1000) process.exit(EXIT_CODES[name]);
      return;
    }
    first = performance.now();
    exitCode = EXIT_CODES[name];
    controller.abort();
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  try {
    await work(controller.signal);
  } catch (error) {
    if (error !== controller.signal.reason) throw error;
  } finally {
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
  }
  return exitCode;
}
