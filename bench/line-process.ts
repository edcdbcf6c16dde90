import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { createInterface } from 'node:readline';

/** A line of JSON. */
export type Answer = Record<string, unknown>;

/** A program that answers each line of JSON with one. */
export class LineProcess implements AsyncDisposable {
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #answers: AsyncIterator<string>;
  #complaint = '';

  constructor(command: string, parameters: readonly string[]) {
    const child = (this.#process = spawn(command, parameters));
    child.on('error', ({ message }) => (this.#complaint = message));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (this.#complaint += text));
    child.stdin.on('error', () => undefined); // it has ended; the missing answer tells
    this.#answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  /** The last thing that it complained of. */
  get complaint(): string {
    return this.#complaint.trim().split('\n').at(-1)!;
  }

  /** Keeps it from running, be it only to look for work in a loop, but for {@link askInTurn}. */
  pause(): void {
    this.#process.kill('SIGSTOP');
  }

  /** Lets it run for one answer. */
  async askInTurn(request: object): Promise<Answer> {
    this.#process.kill('SIGCONT');
    const answer = await this.ask(request);
    this.pause();
    return answer;
  }

  async ask(request: object): Promise<Answer> {
    this.#process.stdin.write(`${JSON.stringify(request)}\n`);
    const answer = await this.answer();
    if (!answer)
      throw new Error(`a program that is compared with has ended before its time: ${this.complaint}`);
    return answer;
  }

  /** Its next line that is JSON, as it may say other things, too; null when it has ended. */
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
    this.#process.kill('SIGKILL'); // which also ends one that is paused
    await closed;
  }
}

/**
 * A program with the number of threads that suits it best: the one that `measure` gives the fewest seconds.
 * @param start a new one, or null where it cannot run here
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
  // A new one, to which nothing has been done yet.
  return start(best);
}
