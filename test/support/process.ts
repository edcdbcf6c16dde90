import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import path from 'node:path';

const root = path.join(__dirname, '../..');

/** How a process ended, and what it printed. */
export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Options for starting a process. */
export interface Start {
  /** Default: the directory of this process. */
  cwd?: string;
  /** Default: output is gathered. */
  stdio?: StdioOptions;
  /** The largest file that the process may write, in blocks of 512 bytes. */
  fileBlocks?: number;
}

/**
 * Starts a TypeScript file of this repository, or JavaScript that uses the repository, in a process of its own.
 * @param file relative to the root of the repository, or absolute
 */
export function startScript(
  file: string,
  argv: readonly string[] = [],
  { cwd = process.cwd(), stdio = ['ignore', 'pipe', 'pipe'], fileBlocks }: Start = {},
): { child: ChildProcess; ended: Promise<Ended> } {
  const script = ['--require', path.join(root, 'scripts/typescript-hook.js'), path.resolve(root, file)];
  const command = [process.execPath, ...script, ...argv];
  const limited = fileBlocks === undefined ? [] : ['sh', '-c', `ulimit -f ${fileBlocks}; exec "$@"`, 'sh'];
  const [program, ...rest] = [...limited, ...command];
  // The environment of the test, which jest keeps apart from that of its process.
  const child = spawn(program!, rest, { cwd, stdio, env: process.env });
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (data) => (stdout += String(data)));
  child.stderr?.on('data', (data) => (stderr += String(data)));
  const ended = new Promise<Ended>((resolve) => {
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
  return { child, ended };
}
