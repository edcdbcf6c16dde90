import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { createInterface } from 'node:readline';

/** A line of JSON. */
export type Answer = Record<string, unknown>;

/** A program that answers each line of JSON with a line of JSON. */
export class LineProcess implements AsyncDisposable {
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #answers: AsyncIterator<string>;
  #complaint = '';

  constructor(command: string, parameters: readonly string[]) {
    const child = (this.#process = spawn(command, parameters));
    child.on('error', ({ message }) => (this.#complaint = message));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (this.#complaint += text));
    child.stdin.on('error', () => undefined); // the program has ended; the missing answer shows it
    this.#answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  /** The last line of its standard error, or the error of starting it. */
  get complaint(): string {
    return this.#complaint.trim().split('\n').at(-1)!;
  }

  /** Stops the process, which might poll for work, until {@link askInTurn}. */
  pause(): void {
    this.#process.kill('SIGSTOP');
  }

  /** Resumes the process for one answer. */
  async askInTurn(request: object): Promise<Answer> {
    this.#process.kill('SIGCONT');
    const answer = await this.ask(request);
    this.pause();
    return answer;
  }

  async ask(request: object): Promise<Answer> {
    this.#process.stdin.write(`${JSON.stringify(request)}\n`);
    const answer = await this.answer();
    if (!answer) throw new Error(`a peer ended before it answered: ${this.complaint}`);
    return answer;
  }

  /** Reads the next line that is JSON and skips other output; null when the process has ended. */
  async answer(): Promise<Answer | null> {
    for (;;) {
      const line: IteratorResult<string, undefined> = await this.#answers.next();
      if (line.done) return null;
      if (line.value.startsWith('{')) return JSON.parse(line.value) as Answer;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.pid === undefined) return;
    const closed = once(this.#process, 'close');
    this.#process.kill('SIGKILL'); // also ends a paused process
    await closed;
  }
}

/**
 * Starts a program with the number of threads for which `measure` returns the fewest seconds.
 * @param start starts the program; null if it cannot run here
 */
export async function fastestThreads<T extends { program: LineProcess }>(
  start: (threads: number) => Promise<T | null>,
  measure: (started: T) => Promise<number>,
): Promise<T | null> {
  let [best, least]: [number, number] = [1, Infinity];
  for (let threads = 1; threads <= availableParallelism(); threads *= 2) {
    const started = await start(threads);
    if (!started) return null;
    const seconds = await measure(started);
    await started.program[Symbol.asyncDispose]();
    if (seconds < least) [best, least] = [threads, seconds];
  }
  // A fresh process, without state from the measurement.
  return start(best);
}
