import { spawn, type ChildProcess } from 'node:child_process';
import path from 'node:path';

const root = path.join(__dirname, '../..');

/** How a process ended, and what it printed. */
export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

/**
 * Starts a TypeScript file of this repository, or JavaScript that uses it, in a process of its own.
 * @param file relative to the root of the repository, or absolute
 */
export function startScript(
  file: string,
  argv: readonly string[] = [],
  cwd = process.cwd(),
): { child: ChildProcess; ended: Promise<Ended> } {
  const command = ['--require', path.join(root, 'scripts/typescript-hook.js'), path.resolve(root, file)];
  const child = spawn(process.execPath, [...command, ...argv], { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (data) => (stdout += String(data)));
  child.stderr.on('data', (data) => (stderr += String(data)));
  const ended = new Promise<Ended>((resolve) => {
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
  return { child, ended };
}
