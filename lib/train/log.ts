import { ftruncateSync, writeSync } from 'node:fs';
import { open, readFile, type FileHandle } from 'node:fs/promises';
import { ForetokenError } from '../errors';
import { fileAccessError, isJsonObject, writeFileAtomic } from '../files';

/** The name of a run's log in its output directory: one that no data set has. */
export const LOG_NAME = 'foretoken-log.jsonl';

/** How every log begins. */
const BEGINNING = '{"step":';

/** What is logged of a step: JSON values, and numbers that JSON has no words for (written as "NaN", "Infinity"). */
export interface LogEntry {
  readonly step: number;
  readonly [field: string]: unknown;
}

/** The log of a training run: a JSON object on each line, there as soon as it was written. */
export class TrainingLog {
  private constructor(
    readonly path: string,
    private readonly handle: FileHandle,
    /** Bytes of whole lines. */
    private size: number,
  ) {}

  /**
   * Starts an empty log; an older one at `path` is replaced.
   * @throws INVALID_ARGUMENT when the file there is no training log
   */
  static async create(path: string): Promise<TrainingLog> {
    await readOwn(path);
    return TrainingLog.#start(path, '');
  }

  /**
   * Goes on with the log of a run that is resumed: entries of steps after `step`, which will be done again, are
   * removed, and so is a last line that was not finished. Without a file it starts an empty log.
   *
   * @throws INVALID_ARGUMENT when the file there is no training log; CORRUPT_FILE, naming the line, when another line than
   *   the first is not an entry.
   */
  static async resume(path: string, step: number): Promise<TrainingLog> {
    const lines = (await readOwn(path)).split('\n').slice(0, -1);
    const kept = lines.filter((line, i) => stepOf(line, `${path}:${i + 1}`) <= step);
    return TrainingLog.#start(path, kept.map((line) => `${line}\n`).join(''));
  }

  static async #start(path: string, content: string): Promise<TrainingLog> {
    await writeFileAtomic(path, content);
    const handle = await open(path, 'a').catch((cause: unknown) => {
      throw fileAccessError('write', path, cause);
    });
    return new TrainingLog(path, handle, Buffer.byteLength(content));
  }

  /**
   * Adds a line. Where there is no room for all of it, nothing of it stays.
   * @throws FILE_ACCESS
   */
  write(entry: LogEntry): void {
    const { step, ...rest } = entry;
    const line = JSON.stringify({ step, ...rest }, (_, value: unknown) =>
      typeof value === 'number' && !Number.isFinite(value) ? String(value) : value,
    );
    const bytes = Buffer.from(`${line}\n`);
    try {
      for (let done = 0; done < bytes.length;) done += writeSync(this.handle.fd, bytes, done);
      this.size += bytes.length;
    } catch (cause) {
      this.#dropUnfinished();
      throw fileAccessError('write', this.path, cause);
    }
  }

  close(): Promise<void> {
    return this.handle.close();
  }

  #dropUnfinished(): void {
    try {
      ftruncateSync(this.handle.fd, this.size);
    } catch {
      // The error of the write is the one to report.
    }
  }
}

/** The text of a log; none without a file. */
async function readOwn(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw fileAccessError('read', path, cause);
  });
  // A run may have been killed within its first line.
  if (text.startsWith(BEGINNING) || BEGINNING.startsWith(text)) return text;
  throw new ForetokenError(
    'INVALID_ARGUMENT',
    `${path}: the log of the run would be written here, but this file is no training log; ` +
      'move it, or give another output directory',
  );
}

function stepOf(line: string, where: string): number {
  let entry: unknown;
  try {
    entry = JSON.parse(line);
  } catch (cause) {
    throw new ForetokenError('CORRUPT_FILE', `${where}: not JSON: ${(cause as Error).message}`, { cause });
  }
  const step = isJsonObject(entry) ? entry.step : undefined;
  if (typeof step === 'number') return step;
  throw new ForetokenError('CORRUPT_FILE', `${where}: not an entry of a training log: it has no step`);
}
