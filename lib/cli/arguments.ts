import { parseArgs } from 'node:util';
import { nearestName } from '../nearest-name';
import { boolean, placeholderOf, type Flag, type Flags, type Values } from './flags';

/** A mistake in the command line: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Declares a command: its arguments, and its help. */
export interface CommandLine<F extends Flags> {
  readonly name: string;
  /** The positional arguments as the help shows them. */
  readonly positionals: string;
  readonly summary: string;
  /** A command that works when copied. */
  readonly example: string;
  readonly flags: F;
}

/** A flag of every command. */
const HELP: Flag = boolean('show this help', { short: 'h' });

/** The parsed arguments of a command. */
export interface Parsed<F extends Flags> {
  readonly values: Values<F>;
  readonly positionals: string[];
}

/**
 * Parses the arguments of a command. With --help, prints the help and returns null.
 * @throws UsageError naming the argument
 */
export function parseCommand<F extends Flags>(
  command: CommandLine<F>,
  argv: readonly string[],
): Parsed<F> | null {
  const flags: Flags = { ...command.flags, help: HELP };
  const options = Object.fromEntries(
    Object.entries(flags).map(([name, { type, short }]) => [
      name,
      { type: type === 'boolean' ? ('boolean' as const) : ('string' as const), ...(short && { short }) },
    ]),
  );
  // Not strict, because Node's strict mode refuses values that begin with a dash: `--seed -1`, `--prompt '- item'`.
  const { tokens, positionals } = parseArgs({
    args: [...argv],
    options,
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  const given = tokens.filter((token) => token.kind === 'option');
  if (given.some(({ name }) => name === 'help')) {
    process.stdout.write(helpOf(command));
    return null;
  }
  const values: Record<string, unknown> = {};
  for (const { name, rawName, value, inlineValue } of given) {
    const flag = Object.hasOwn(flags, name) ? flags[name]! : unknownFlag(rawName, flags);
    if (flag.type === 'boolean') {
      if (value !== undefined) throw new UsageError(`--${name} takes no value, but has '${value}'`);
      values[name] = true;
      continue;
    }
    if (value === undefined) throw new UsageError(`${rawName} needs a value`);
    if (!inlineValue && isFlag(value, flags)) {
      const remedy = `if '${value}' is the value, write --${name}=${value}`;
      throw new UsageError(`${rawName} needs a value, but is followed by the option ${value}; ${remedy}`);
    }
    const converted = convert(name, flag, value);
    if (flag.type === 'strings')
      values[name] = [...((values[name] as string[] | undefined) ?? []), converted];
    else if (!Object.hasOwn(values, name)) values[name] = converted;
    else throw new UsageError(`--${name} is given more than once; it takes one value`);
  }
  return { values: values as Values<F>, positionals };
}

function unknownFlag(rawName: string, flags: Flags): never {
  const names = Object.keys(flags);
  const near = nearestName(rawName.replace(/^-+/, ''), names);
  throw new UsageError(`there is no option '${rawName}'${near ? `; did you mean --${near}?` : ''}`);
}

/** Whether a word is an option of the command, and so hardly the value of the option before it. */
function isFlag(word: string, flags: Flags): boolean {
  return Object.entries(flags).some(
    ([name, { short }]) => word === `--${name}` || word.startsWith(`--${name}=`) || word === `-${short}`,
  );
}

function convert(name: string, { type }: Flag, value: string): unknown {
  if (type === 'string' || type === 'strings') return value;
  const fail = (allowed: string): never => {
    throw new UsageError(`--${name} must be ${allowed}, but is '${value}'`);
  };
  if (type === 'bigint') return /^[+-]?\d+$/.test(value) ? BigInt(value) : fail('an integer');
  const number = parseNumber(value);
  if (type === 'number') return number ?? fail('a number');
  if (number === undefined || !Number.isInteger(number)) return fail('an integer');
  if (!Number.isSafeInteger(number)) return fail(`an integer within ±${Number.MAX_SAFE_INTEGER} (2^53 - 1)`);
  return number;
}

/** Parses a decimal number; undefined for anything else. */
export function parseNumber(text: string): number | undefined {
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : undefined;
}

/** Returns the value of a flag that must be given. */
export function required<T>(name: string, value: T | undefined): T {
  if (value === undefined) throw new UsageError(`--${name} is missing`);
  return value;
}

/**
 * Returns the only positional argument.
 * @param what its name in messages
 * @throws UsageError unless there is exactly one
 */
export function onlyPositional(positionals: readonly string[], what: string): string {
  if (positionals.length === 1) return positionals[0]!;
  throw new UsageError(
    positionals.length === 0 ? `give a ${what}` : `give one ${what}, not ${positionals.length}`,
  );
}

/**
 * Checks that text is given.
 * @param purpose of the text, for messages: `train on`
 * @throws UsageError if there is none, or an empty path
 */
export function checkTexts(patterns: readonly string[], purpose: string): void {
  if (patterns.length === 0) throw new UsageError(`give the text to ${purpose}: files, directories or globs`);
  if (patterns.includes('')) {
    throw new UsageError(`the text to ${purpose} must not be ''; the current directory is .`);
  }
}

function helpOf<F extends Flags>({ name, positionals, summary, example, flags }: CommandLine<F>): string {
  const lines = Object.entries({ ...flags, help: HELP } as Flags).map(([flag, each]) => {
    const left = `${each.short ? `-${each.short}, ` : '    '}--${flag} ${placeholderOf(each)}`;
    return `  ${left.padEnd(30)} ${each.help}`;
  });
  const usage = ['foretoken', name, positionals, '[options]'].filter(Boolean).join(' ');
  return [`Usage: ${usage}`, '', summary, '', ...lines, '', `Example: ${example}`, ''].join('\n');
}
