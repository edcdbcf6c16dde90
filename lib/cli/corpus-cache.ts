import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Opens the directory for the tokenized text: the given one, or a temporary one that is removed however the process ends. */
export async function openCache(given: string | undefined): Promise<{ path: string } & Disposable> {
  if (given !== undefined) return { path: given, [Symbol.dispose]: () => undefined };
  const path = await mkdtemp(join(tmpdir(), 'foretoken-'));
  const remove = (): void => rmSync(path, { recursive: true, force: true });
  // A second Ctrl-C ends the process without disposing.
  process.on('exit', remove);
  return {
    path,
    [Symbol.dispose]: () => {
      process.off('exit', remove);
      remove();
    },
  };
}
