import { chownSync, mkdtempSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** A directory that exists while a test runs. Construct it at the top of a describe block or file. */
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

  /** Writes a file, creates the directories that it needs, and returns its path. */
  write(name: string, content: string | Uint8Array): string {
    mkdirSync(dirname(this.at(name)), { recursive: true });
    writeFileSync(this.at(name), content);
    return this.at(name);
  }
}

/** Runs `work` as an ordinary user, who is subject to permissions, even if the tests run as root. The user gets `directory`. */
export async function asOrdinaryUser(directory: string, work: () => Promise<void>): Promise<void> {
  if (process.getuid?.() !== 0) return work();
  const ordinary = 65534;
  chownSync(directory, ordinary, ordinary);
  for (const entry of readdirSync(directory, { recursive: true, encoding: 'utf8', withFileTypes: true })) {
    if (!entry.isSymbolicLink()) chownSync(join(entry.parentPath, entry.name), ordinary, ordinary);
  }
  process.seteuid!(ordinary);
  try {
    await work();
  } finally {
    process.seteuid!(0);
  }
}
