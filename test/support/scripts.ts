// Scripts in processes of their own, for behaviour that shows only in how a process ends.
import { spawn } from 'node:child_process';
import { join } from 'node:path';

const root = join(__dirname, '../..');

/** The beginning of every script and of every worker: loads the addon as `native`. */
export const prelude = `
  const { Worker, parentPort } = require('node:worker_threads');
  const native = require('node-gyp-build')(${JSON.stringify(root)});
  const fill = (device, count, value) => {
    const tensor = native.empty(device, 'float32', [count]);
    native.fill(tensor, value);
    return tensor;
  };
  /** Queues products, by default so many that they take far longer than a script. */
  const work = (device, count = 100) => {
    const x = native.view([1024, 1024], fill(device, 1 << 20, 1e-3), 0);
    return Array.from({ length: count }, () => native.linear(x, x));
  };
`;

export interface Ended {
  code: number | null;
  signal: string | null;
  /** Everything written to stdout or stderr. */
  output: string;
}

/** Runs the prelude and a script; resolves with how the process ended. */
export async function runScript(script: string): Promise<Ended> {
  const child = spawn(process.execPath, ['-e', prelude + script], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  }
  return new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal, output })));
}

/** How a process ends without errors. */
export const success = (output: string): Ended => ({ code: 0, signal: null, output });
