import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** A directory that exists while a test runs. Call at the top of a describe or file. */
export class TemporaryDirectory {
  path = '';

  constructor() {
    beforeEach(() => {
      this.path = mkdtempSync(join(tmpdir(), 'foretoken-'));
    });
    afterEach(() => rmSync(this.path, { recursive: true, force: true }));
  }

  /** The path of `name` inside. */
  at(name: string): string {
    return join(this.path, name);
  }

  /** Writes a file, with the directories that it needs, and returns its path. */
  write(name: string, content: string | Uint8Array): string {
    mkdirSync(dirname(this.at(name)), { recursive: true });
    writeFileSync(this.at(name), content);
    return this.at(name);
  }
}
