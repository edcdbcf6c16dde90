const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const;

/**
 * Runs `work`, which ends early, and in order, when its signal is aborted: by Ctrl-C or SIGTERM. A second one ends the
 * process at once.
 * @returns the exit code: 0, or the one that stands for the signal
 */
export async function interruptible(work: (signal: AbortSignal) => Promise<void>): Promise<number> {
  const controller = new AbortController();
  let exitCode = 0;
  const onSignal = (name: keyof typeof EXIT_CODES): void => {
    if (exitCode !== 0) process.exit(EXIT_CODES[name]);
    exitCode = EXIT_CODES[name];
    controller.abort();
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  try {
    await work(controller.signal);
  } finally {
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
  }
  return exitCode;
}
