#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ForetokenError } from '../errors';
import { parseCommand, UsageError, type CommandLine, type Parsed } from './arguments';
import type * as chat from './chat';
import { CHAT } from './chat-flags';
import type * as devices from './devices';
import { DEVICES } from './devices-flags';
import type * as download from './download';
import { DOWNLOAD } from './download-flags';
import type * as drafts from './draft-vocabulary';
import { DRAFT_VOCABULARY } from './draft-vocabulary-flags';
import type * as evaluation from './eval';
import { EVAL } from './eval-flags';
import { inFlags } from './flag-names';
import type { Flags } from './flags';
import type * as generation from './generate';
import { GENERATE } from './generate-flags';
import { nearestName } from '../nearest-name';
import { endWithoutOutput } from './standard-output';
import type * as train from './train';
import { TRAIN } from './train-flags';

interface Command {
  readonly summary: string;
  /** Runs the command and returns the exit code. */
  readonly run: (argv: readonly string[]) => Promise<number>;
}

/** @param load loads the code of the command, and with it the addon: help and usage errors do not wait for that */
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
  chat: command(
    CHAT,
    'talk with a model in the terminal',
    () => (require('./chat') as typeof chat).chatCommand,
  ),
  eval: command(
    EVAL,
    'measure how well each head predicts text',
    () => (require('./eval') as typeof evaluation).evalCommand,
  ),
  download: command(
    DOWNLOAD,
    'get a model from the Hugging Face Hub',
    () => (require('./download') as typeof download).downloadCommand,
  ),
  'draft-vocabulary': command(
    DRAFT_VOCABULARY,
    'let heads propose the frequent tokens of a text only',
    () => (require('./draft-vocabulary') as typeof drafts).draftVocabularyCommand,
  ),
  devices: command(
    DEVICES,
    'list the devices that can compute here',
    () => (require('./devices') as typeof devices).devicesCommand,
  ),
};

function help(): string {
  const longest = Math.max(...Object.keys(COMMANDS).map((name) => name.length));
  const lines = Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(longest)} ${summary}`);
  return [
    'Usage: foretoken COMMAND [options]',
    '',
    'Trains and decodes language models that predict several tokens at once.',
    '',
    ...lines,
    '',
    'foretoken COMMAND --help shows the options and an example; foretoken --version shows the version.',
    'Exit codes: 0 done; 1 error; 2 wrong usage; 128 + N stopped by signal N: 129 closed terminal, 130 Ctrl-C, 143 SIGTERM;',
    '141 the reader of the output is gone. An error is the last line on standard error; with --json it is',
    '{"error": {"code": …, "message": …}}.',
    '',
  ].join('\n');
}

function version(): string {
  const file = join(__dirname, '../../package.json');
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

/** Runs the command line and prints errors. Returns the exit code. */
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
  const advice = near ? `did you mean ${near}?` : `the commands are ${names.join(', ')}`;
  return new UsageError(`there is no command '${name}'; ${advice}`);
}

function report(error: unknown, help: string, json: boolean): void {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  const code =
    error instanceof ForetokenError ? error.code : error instanceof UsageError ? 'USAGE' : 'INTERNAL';
  if (json) console.error(JSON.stringify({ error: { code, message } }));
  else if (code === 'USAGE') console.error(`foretoken: ${message}; see ${help}`);
  // Any other error is a bug of this package, and its stack helps to find it.
  else console.error(`foretoken: ${error instanceof ForetokenError ? message : (stack ?? message)}`);
}

if (require.main === module) {
  // Training goes on when its reader or terminal is gone: its result is the model.
  const gone = process.argv[2] === 'train' ? ['EPIPE', 'EIO'] : [];
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (!gone.includes(error.code ?? '')) endWithoutOutput(error);
  });
  // There is no other place to report to.
  process.stderr.on('error', () => undefined);
  void main(process.argv.slice(2)).then((code) => (process.exitCode = code));
}
