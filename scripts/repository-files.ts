import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';

/** The files that git knows or would add, relative to `root`. */
export function repositoryFiles(root: string): string[] {
  const listed = ['ls-files', '-z', '--cached', '--others', '--exclude-standard'];
  const files = execFileSync('git', listed, { cwd: root, encoding: 'utf8' }).split('\0');
  return files.filter((file) => file && existsSync(path.join(root, file)));
}
