import { spawn, type ChildProcess } from 'node:child_process';
import path from 'node:path';
import { main } from '../../lib/cli/main';

const root = path.join(__dirname, '../..');

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs the command line in this process, which takes no time to start. */
export async function runCli(...argv: string[]): Promise<Ended> {
  const written = { stdout: '', stderr: '' };
  const into = (stream: keyof typeof written, end: string) => (text: unknown) => {
    written[stream] += `${String(text)}${end}`;
    return true;
  };
  const spies = [
    jest.spyOn(console, 'log').mockImplementation(into('stdout', '\n')),
    jest.spyOn(console, 'error').mockImplementation(into('stderr', '\n')),
    jest.spyOn(process.stdout, 'write').mockImplementation(into('stdout', '')),
    jest.spyOn(process.stderr, 'write').mockImplementation(into('stderr', '')),
  ];
  try {
    return { code: await main(argv), ...written };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

/** Starts the command line in a process of its own. */
export function startCli(...argv: string[]): { child: ChildProcess; ended: Promise<Ended> } {
  const file = [
    '--require',
    path.join(root, 'scripts/typescript-hook.js'),
    path.join(root, 'lib/cli/main.ts'),
  ];
  const child = spawn(process.execPath, [...file, ...argv], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (data) => (stdout += String(data)));
  child.stderr.on('data', (data) => (stderr += String(data)));
  const ended = new Promise<Ended>((resolve) => {
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
  return { child, ended };
}
