const EXIT_CODES = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;
const SIGNALS = Object.keys(EXIT_CODES) as (keyof typeof EXIT_CODES)[];

/** `timeout` and some runners signal both a process and its group: a signal this soon after the first repeats the request. */
const SAME_REQUEST_SECONDS = 1;

/**
 * Runs `work` and aborts its signal on Ctrl-C, SIGTERM or a closed terminal, so that `work` can end early and in order. A
 * later Ctrl-C, which only a person presses, ends the process at once. Other later signals are ignored, because a system that
 * shuts down may send several while `work` still saves.
 * @param work may end by throwing the signal's reason
 * @param atOnce message for a later Ctrl-C that ends the process
 * @returns the exit code: 0, or that of the signal
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
    // Once interrupted, the process is about to end: until then a signal must not kill it in the middle of its last message.
    if (exitCode === 0) for (const name of SIGNALS) process.off(name, onSignal);
  }
  return exitCode;
}
