import { main } from '../../lib/cli/main';
import { startScript, type Ended, type Start } from './process';

export type { Ended };

/** Runs the command line in this process, which saves the time to start one. */
export async function runCli(...argv: string[]): Promise<Ended> {
  const written = { stdout: '', stderr: '' };
  const into = (stream: keyof typeof written, end: string) => (text: unknown) => {
    written[stream] += `${String(text)}${end}`;
    return true;
  };
  const spies = [
    jest.spyOn(console, 'log').mockImplementation(into('stdout', '\n')),
    jest.spyOn(console, 'error').mockImplementation(into('stderr', '\n')),
    jest.spyOn(process.stdout, 'write').mockImplementation(into('stdout', '')),
    jest.spyOn(process.stderr, 'write').mockImplementation(into('stderr', '')),
  ];
  try {
    return { code: await main(argv), ...written };
  } finally {
    for (const spy of spies) spy.mockRestore();
    // An interrupted command answers signals until its process is gone, which this process is not.
    for (const name of ['SIGHUP', 'SIGINT', 'SIGTERM']) process.removeAllListeners(name);
  }
}

/** Starts the command line in a process of its own. */
export function startCli(...argv: string[]): ReturnType<typeof startScript> {
  return startCliWith({}, ...argv);
}

/** Starts the command line with limits, or with its output redirected. */
export function startCliWith(start: Start, ...argv: string[]): ReturnType<typeof startScript> {
  return startScript('lib/cli/main.ts', argv, start);
}
