import { ftruncateSync, writeSync } from 'node:fs';
import { open, readFile, type FileHandle } from 'node:fs/promises';
import { ForetokenError } from '../errors';
import { fileAccessError, isJsonObject, writeFileAtomic } from '../files';

/** Name of a run's log in its output directory; no data set has this name. */
export const LOG_NAME = 'foretoken-log.jsonl';

/** Beginning of every log. */
const BEGINNING = '{"step":';

/** A logged step: JSON values, and the numbers that JSON lacks, written as "NaN" and "Infinity". */
export interface LogEntry {
  readonly step: number;
  readonly [field: string]: unknown;
}

/** The log of a training run: one JSON object on each line, in the file as soon as `write` returns. */
export class TrainingLog {
  private constructor(
    readonly path: string,
    private readonly handle: FileHandle,
    /** Bytes of whole lines. */
    private size: number,
  ) {}

  /**
   * Starts an empty log and replaces an older one at `path`.
   * @throws INVALID_ARGUMENT if the file at `path` is no training log
   */
  static async create(path: string): Promise<TrainingLog> {
    await readOwn(path);
    return TrainingLog.#start(path, '');
  }

  /**
   * Continues the log of a resumed run: removes the entries of steps after `step`, which will be done again, and an unfinished
   * last line. Without a file, starts an empty log.
   *
   * @throws INVALID_ARGUMENT if the file at `path` is no training log; CORRUPT_FILE naming the line if any but the first is not
   *   an entry
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
   * Appends a line, or nothing if the disk has no room for the whole line.
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

/** Reads a log; '' without a file. */
async function readOwn(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw fileAccessError('read', path, cause);
  });
  // A killed run may leave a part of its first line.
  if (text.startsWith(BEGINNING) || BEGINNING.startsWith(text)) return text;
  throw new ForetokenError(
    'INVALID_ARGUMENT',
    `${path}: this file is no training log, but has the name of the run's log; ` +
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
