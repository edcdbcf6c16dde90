import { appendFile, chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

/** Most lines that are remembered from one chat to the next. */
const MOST_LINES = 1000;
/** Only the user may read the lines. */
const MODE = 0o600;

/** Returns the file of the history, in the directory for the state of programs (XDG base directories). */
export function chatHistoryFile(environment: NodeJS.ProcessEnv = process.env): string {
  const { XDG_STATE_HOME: state } = environment;
  return join(state?.startsWith('/') ? state : join(homedir(), '.local/state'), 'foretoken/chat_history');
}

/** Lines that a user wrote, in a file of their own. A history that cannot be kept does not stop a chat. */
export class ChatHistory {
  #last: string | undefined;
  #isKept = true;

  constructor(private readonly file: string) {}

  /** Reads the lines of earlier chats, the newest first. */
  async load(): Promise<string[]> {
    const text = await readFile(this.file, 'utf8').catch(() => '');
    const all = text.split('\n').filter((line) => line !== '');
    const lines = all.slice(-MOST_LINES);
    this.#last = lines.at(-1);
    if (text !== '') {
      await this.#try(async () => {
        await chmod(this.file, MODE);
        if (all.length > 2 * MOST_LINES) await writeFile(this.file, `${lines.join('\n')}\n`);
      });
    }
    return lines.reverse();
  }

  /** Appends a line, unless it repeats the last. */
  async add(line: string): Promise<void> {
    if (line.trim() === '' || line === this.#last) return;
    this.#last = line;
    await this.#try(async () => {
      await mkdir(dirname(this.file), { recursive: true, mode: 0o700 });
      await appendFile(this.file, `${line}\n`, { mode: MODE });
    });
  }

  async #try(work: () => Promise<void>): Promise<void> {
    if (!this.#isKept) return;
    try {
      await work();
    } catch {
      this.#isKept = false;
    }
  }
}
