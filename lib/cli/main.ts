#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ForetokenError } from '../errors';
import { UsageError } from './arguments';
import type * as devices from './devices';
import type * as evaluation from './eval';
import type * as generation from './generate';
import type * as train from './train';

/** A command: arguments in, exit code out. */
type Run = (argv: readonly string[]) => Promise<number>;

// Loaded when they are called: help, and the reason why the addon cannot be loaded, must not need the addon.
const COMMANDS: Record<string, { summary: string; load: () => Run }> = {
  train: {
    summary: 'train a model on text',
    load: () => (require('./train') as typeof train).trainCommand,
  },
  generate: {
    summary: 'continue a text with a model',
    load: () => (require('./generate') as typeof generation).generateCommand,
  },
  eval: {
    summary: 'measure how well each head predicts text',
    load: () => (require('./eval') as typeof evaluation).evalCommand,
  },
  devices: {
    summary: 'list the devices that can compute here',
    load: () => (require('./devices') as typeof devices).devicesCommand,
  },
};

function help(): string {
  const lines = Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(10)} ${summary}`);
  return [
    'Usage: foretoken COMMAND [options]',
    '',
    'Trains and decodes language models that predict several tokens at once.',
    '',
    ...lines,
    '',
    'foretoken COMMAND --help says more, with an example; foretoken --version says which version this is.',
    'Exit codes: 0 done, 1 error, 2 wrong usage, 130 and 143 stopped by Ctrl-C and SIGTERM.',
    '',
  ].join('\n');
}

function version(): string {
  const file = join(__dirname, '../../package.json');
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

/** Runs the command line; what goes wrong is printed. Returns the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  const [name, ...rest] = argv;
  try {
    if (name === '--help' || name === '-h') {
      process.stdout.write(help());
      return 0;
    }
    if (name === '--version') {
      console.log(version());
      return 0;
    }
    if (name === undefined) throw new UsageError(`give a command: ${Object.keys(COMMANDS).join(', ')}`);
    if (!Object.hasOwn(COMMANDS, name)) {
      throw new UsageError(`there is no command '${name}', only ${Object.keys(COMMANDS).join(', ')}`);
    }
    return await COMMANDS[name]!.load()(rest);
  } catch (error) {
    const known = name !== undefined && Object.hasOwn(COMMANDS, name);
    report(error, known ? `foretoken ${name}` : 'foretoken', rest.includes('--json'));
    return error instanceof UsageError ? 2 : 1;
  }
}

function report(error: unknown, command: string, json: boolean): void {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  const code =
    error instanceof ForetokenError ? error.code : error instanceof UsageError ? 'USAGE' : 'INTERNAL';
  if (json) console.error(JSON.stringify({ error: { code, message } }));
  else if (code === 'USAGE') console.error(`${command}: ${message}; see ${command} --help`);
  // What nobody raised on purpose is a mistake of ours, and worth its stack.
  else console.error(`${command}: ${error instanceof ForetokenError ? message : (stack ?? message)}`);
}

if (require.main === module) {
  // Whoever reads the output, `head` for instance, has seen enough: no error of ours.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(0);
  });
  void main(process.argv.slice(2)).then((code) => (process.exitCode = code));
}
