import { downloadModel, type DownloadedModel, type DownloadProgress } from '../hub/download';
import { parseRepoId } from '../hub/repo-id';
import { redrawsLines } from '../terminal';
import { onlyPositional, UsageError, type Parsed } from './arguments';
import { drawBar, formatDuration, roomOf } from './bar';
import type { DOWNLOAD } from './download-flags';
import type { ProgressStream } from './progress';
import { interruptible } from './signals';
import { StatusLine } from './status-line';

/** Downloads a model and prints its path. */
export async function downloadCommand({
  values,
  positionals,
}: Parsed<typeof DOWNLOAD.flags>): Promise<number> {
  const repo = onlyPositional(positionals, 'model of the Hub: owner/name');
  if (!parseRepoId(repo)) {
    throw new UsageError(`'${repo}' is no model of the Hub; give owner/name or owner/name@revision`);
  }
  const { revision, file: files } = values;
  const progress = new Arrival(process.stderr);
  let model: DownloadedModel | undefined;
  const exitCode = await interruptible(async (signal) => {
    try {
      const onProgress = (now: DownloadProgress): void => progress.update(now);
      model = await downloadModel(repo, { revision, files, signal, onProgress });
    } finally {
      progress.clear();
    }
  });
  if (!model) {
    console.error('stopped; what has arrived is kept, and the same command continues it');
    return exitCode;
  }
  console.log(values.json ? JSON.stringify(model) : model.path);
  return 0;
}

/** Shows how much has arrived: in a terminal beside a bar. */
class Arrival {
  readonly #status: StatusLine;
  #first: { bytes: number; at: number } | undefined;

  constructor(private readonly stream: ProgressStream) {
    this.#status = new StatusLine(stream);
  }

  update({ file, bytes, totalBytes, waitingFor }: DownloadProgress): void {
    if (waitingFor !== undefined) {
      this.#status.update(`waiting for ${waitingFor}, which downloads ${file}`);
      return;
    }
    const now = performance.now();
    // A part of an earlier download says nothing about the rate.
    this.#first ??= { bytes, at: now };
    const seconds = (now - this.#first.at) / 1000;
    const rate = (bytes - this.#first.bytes) / seconds;
    const done = `${megabytes(bytes)} of ${megabytes(totalBytes)} MB`;
    const speed = rate > 0 ? [`${megabytes(rate)} MB/s`] : [];
    const time = rate > 0 ? [`${formatDuration((1000 * (totalBytes - bytes)) / rate)} left`] : [];
    const texts = [
      [file, done, ...speed, ...time],
      [done, ...speed, ...time],
      [done, ...time],
    ].map((parts) => parts.join('  '));
    const line = { texts, share: totalBytes === 0 ? 1 : bytes / totalBytes };
    this.#status.update(redrawsLines(this.stream) ? drawBar(line, roomOf(this.stream)) : texts[0]!);
  }

  clear(): void {
    this.#status.clear();
  }
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
