#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ForetokenError } from '../errors';
import { parseCommand, UsageError, type CommandLine, type Flags, type Parsed } from './arguments';
import type * as devices from './devices';
import { DEVICES } from './devices-flags';
import type * as evaluation from './eval';
import { EVAL } from './eval-flags';
import { inFlags } from './flag-names';
import type * as generation from './generate';
import { GENERATE } from './generate-flags';
import { nearestName } from '../nearest-name';
import { endWithoutOutput } from './standard-output';
import type * as train from './train';
import { TRAIN } from './train-flags';

interface Command {
  readonly summary: string;
  /** Arguments in, exit code out. */
  readonly run: (argv: readonly string[]) => Promise<number>;
}

/** @param load loads what the command does; only then the addon is needed, which help and usage errors are not to wait for */
function command<F extends Flags>(
  line: CommandLine<F>,
  summary: string,
  load: () => (parsed: Parsed<F>) => Promise<number>,
): Command {
  const run = async (argv: readonly string[]): Promise<number> => {
    const parsed = parseCommand(line, argv);
    if (!parsed) return 0;
    try {
      return await load()(parsed);
    } catch (error) {
      throw inFlags(error, line.flags, parsed.values);
    }
  };
  return { summary, run };
}

const COMMANDS: Record<string, Command> = {
  train: command(TRAIN, 'train a model on text', () => (require('./train') as typeof train).trainCommand),
  generate: command(
    GENERATE,
    'continue a text with a model',
    () => (require('./generate') as typeof generation).generateCommand,
  ),
  eval: command(
    EVAL,
    'measure how well each head predicts text',
    () => (require('./eval') as typeof evaluation).evalCommand,
  ),
  devices: command(
    DEVICES,
    'list the devices that can compute here',
    () => (require('./devices') as typeof devices).devicesCommand,
  ),
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
    'Exit codes: 0 done; 1 error; 2 wrong usage; 128 + N stopped by signal N: 129 by a closed terminal, 130 by Ctrl-C,',
    '143 by SIGTERM; 141 when nobody reads the output any longer. An error is the last line on standard error; with --json',
    'it is {"error": {"code": …, "message": …}}.',
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
  const command = name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  try {
    if (name === '--help' || name === '-h') {
      process.stdout.write(help());
      return 0;
    }
    if (name === '--version') {
      console.log(version());
      return 0;
    }
    if (!command) throw noCommand(name);
    return await command.run(rest);
  } catch (error) {
    report(error, command ? `foretoken ${name} --help` : 'foretoken --help', rest.includes('--json'));
    return error instanceof UsageError ? 2 : 1;
  }
}

function noCommand(name: string | undefined): UsageError {
  const names = Object.keys(COMMANDS);
  if (name === undefined) return new UsageError(`give a command: ${names.join(', ')}`);
  const near = nearestName(name, names);
  const advice = near ? `is ${near} meant?` : `there are ${names.join(', ')}`;
  return new UsageError(`there is no command '${name}'; ${advice}`);
}

function report(error: unknown, help: string, json: boolean): void {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  const code =
    error instanceof ForetokenError ? error.code : error instanceof UsageError ? 'USAGE' : 'INTERNAL';
  if (json) console.error(JSON.stringify({ error: { code, message } }));
  else if (code === 'USAGE') console.error(`foretoken: ${message}; see ${help}`);
  // What was not raised on purpose is a mistake of ours, and worth its stack.
  else console.error(`foretoken: ${error instanceof ForetokenError ? message : (stack ?? message)}`);
}

if (require.main === module) {
  // Training is for its model, whoever reads: a reader or a terminal that is gone ends nothing there.
  const gone = process.argv[2] === 'train' ? ['EPIPE', 'EIO'] : [];
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (!gone.includes(error.code ?? '')) endWithoutOutput(error);
  });
  // There is nowhere else to report to.
  process.stderr.on('error', () => undefined);
  void main(process.argv.slice(2)).then((code) => (process.exitCode = code));
}
