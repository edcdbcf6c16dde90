import { writeSync } from 'node:fs';
import { open, readFile, type FileHandle } from 'node:fs/promises';
import { ForetokenError } from '../errors';
import { fileAccessError, isJsonObject, writeFileAtomic } from '../model/files';

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
  ) {}

  /** Starts an empty log; an older one at `path` is replaced. */
  static async create(path: string): Promise<TrainingLog> {
    await writeFileAtomic(path, '');
    return TrainingLog.append(path);
  }

  /**
   * Goes on with the log of a run that is resumed: entries of steps after `step`, which will be done again, are
   * removed, and so is a last line that was not finished. Without a file it starts an empty log.
   *
   * @throws CORRUPT_FILE, naming the line, when another line is not an entry.
   */
  static async resume(path: string, step: number): Promise<TrainingLog> {
    const text = await readFile(path, 'utf8').catch((cause: unknown) => {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return '';
      throw fileAccessError('read', path, cause);
    });
    const lines = text.split('\n').slice(0, -1);
    const kept = lines.filter((line, i) => stepOf(line, `${path}:${i + 1}`) <= step);
    await writeFileAtomic(path, kept.map((line) => `${line}\n`).join(''));
    return TrainingLog.append(path);
  }

  private static async append(path: string): Promise<TrainingLog> {
    const handle = await open(path, 'a').catch((cause: unknown) => {
      throw fileAccessError('write', path, cause);
    });
    return new TrainingLog(path, handle);
  }

  write(entry: LogEntry): void {
    const line = JSON.stringify(entry, (_, value: unknown) =>
      typeof value === 'number' && !Number.isFinite(value) ? String(value) : value,
    );
    try {
      writeSync(this.handle.fd, `${line}\n`);
    } catch (cause) {
      throw fileAccessError('write', this.path, cause);
    }
  }

  close(): Promise<void> {
    return this.handle.close();
  }
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
