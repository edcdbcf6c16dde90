import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A small disk in memory, for tests that fill it. Only root can mount one. */
export class SmallDisk implements Disposable {
  #files = 0;

  constructor(
    readonly path: string,
    bytes: number,
  ) {
    mkdirSync(path);
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', path]);
  }

  /** Fills the disk to the last page. */
  fill(): void {
    const ballast = join(this.path, 'ballast');
    for (let bytes = 1 << 16; bytes >= 4096;) {
      const path = join(ballast, String(this.#files++));
      try {
        mkdirSync(ballast, { recursive: true });
        writeFileSync(path, Buffer.alloc(bytes));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
        rmSync(path, { force: true });
        bytes /= 2;
      }
    }
  }

  /** Deletes the files of `fill`. */
  free(): void {
    rmSync(join(this.path, 'ballast'), { recursive: true, force: true });
  }

  [Symbol.dispose](): void {
    execFileSync('umount', ['--lazy', this.path]);
  }
}
