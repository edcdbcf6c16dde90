import { createInterface, type Interface } from 'node:readline';
import { Writable } from 'node:stream';
import type { TextStream } from '../terminal';

/** A terminal to read from. */
export type TerminalInput = NodeJS.ReadableStream & { readonly isTTY?: boolean };
/** A terminal to write to. */
export type TerminalOutput = TextStream & { readonly columns?: number };

const PROMPT = '> ';

/** The editor's output, which is silent while an answer is written. */
class EditorOutput extends Writable {
  isSilent = true;
  readonly isTTY = true;

  constructor(private readonly out: TerminalOutput) {
    super({ decodeStrings: false });
  }

  get columns(): number {
    return this.out.columns ?? 80;
  }

  override _write(text: string | Buffer, _: unknown, done: () => void): void {
    if (!this.isSilent) this.out.write(text.toString());
    done();
  }
}

/**
 * Reads lines in a terminal, with editing and a history. Ctrl-C empties the line; on an empty line a second one ends the input, as
 * Ctrl-D does. Lines that are entered during an answer are kept for the next call.
 */
export class ChatTerminal implements Disposable {
  readonly #output: EditorOutput;
  readonly #editor: Interface;
  readonly #lines: string[] = [];
  #isClosed = false;
  /** Whether the last key was a Ctrl-C on an empty line. */
  #wantsEnd = false;
  #wake: () => void = () => undefined;
  /** Stops what runs while no line is read. */
  #interrupt: () => void = () => undefined;

  /** @param history lines of earlier chats, the newest first */
  constructor(
    input: TerminalInput,
    private readonly out: TerminalOutput,
    history: string[],
  ) {
    this.#output = new EditorOutput(out);
    this.#editor = createInterface({
      ...{ input, output: this.#output, terminal: true, prompt: PROMPT, history },
      removeHistoryDuplicates: true,
    });
    this.#editor.on('line', (line) => {
      this.#lines.push(line);
      this.#wantsEnd = false;
      this.#wake();
    });
    this.#editor.on('close', () => {
      this.#isClosed = true;
      this.#interrupt();
      this.#wake();
    });
    this.#editor.on('SIGINT', () => this.#onInterrupt());
  }

  /** Reads a line; null at the end of the input. */
  async read(): Promise<string | null> {
    if (this.#lines.length === 0 && !this.#isClosed) {
      this.#output.isSilent = false;
      // Shows what was typed during the answer, too.
      this.#editor.prompt(true);
      await new Promise<void>((resolve) => (this.#wake = resolve));
      this.#output.isSilent = true;
      if (this.#isClosed && this.#lines.length === 0) this.out.write('\n');
    }
    return this.#lines.shift() ?? null;
  }

  /** Runs work that writes to the terminal. Ctrl-C aborts its signal. */
  async during(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const controller = new AbortController();
    this.#interrupt = () => controller.abort();
    try {
      await work(controller.signal);
    } finally {
      this.#interrupt = () => undefined;
    }
  }

  /** Ends the input: what is not read yet is forgotten. */
  [Symbol.dispose](): void {
    this.#lines.length = 0;
    this.#editor.close();
  }

  #onInterrupt(): void {
    if (this.#output.isSilent) {
      this.#interrupt();
    } else if (this.#editor.line !== '') {
      this.#editor.write(null, { ctrl: true, name: 'e' });
      this.#editor.write(null, { ctrl: true, name: 'u' });
    } else if (this.#wantsEnd) {
      this.#editor.close();
    } else {
      this.#wantsEnd = true;
      this.out.write('\nCtrl-C again or Ctrl-D ends the program.\n');
      this.#editor.prompt();
    }
  }
}
