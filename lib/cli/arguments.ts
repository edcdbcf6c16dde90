import { parseArgs } from 'node:util';
import { nearestName } from '../nearest-name';

/** A mistake in how a command was called: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

interface ValueOf {
  string: string;
  /** May be given several times. */
  strings: string[];
  integer: number;
  /** An integer of any size. */
  bigint: bigint;
  number: number;
  boolean: boolean;
}

export interface Flag {
  readonly type: keyof ValueOf;
  readonly short?: string;
  /** What stands for the value in the help. */
  readonly value?: string;
  /** One line, with the default where there is one. */
  readonly help: string;
  /** The option of the library that it becomes, where that is not called the same in camelCase. */
  readonly option?: string;
}

export type Flags = Readonly<Record<string, Flag>>;

export type Values<F extends Flags> = { readonly [Name in keyof F]?: ValueOf[F[Name]['type']] };

/** What a command is called with; its help is made from this. */
export interface CommandLine<F extends Flags> {
  readonly name: string;
  /** The positional arguments, as the help shows them. */
  readonly positionals: string;
  readonly summary: string;
  /** One that works when it is copied. */
  readonly example: string;
  readonly flags: F;
}

/** Understood by every command. */
const HELP: Flag = { type: 'boolean', short: 'h', help: 'show this help' };

export const DEVICE_FLAGS = {
  device: {
    type: 'string',
    option: 'name',
    value: 'NAME',
    help: 'auto, cpu, cuda, cuda:N or cuda-emulated (default auto)',
  },
  threads: { type: 'integer', value: 'N', help: 'threads of the CPU (default: its processors)' },
  dtype: {
    type: 'string',
    value: 'TYPE',
    help: 'of the model: float32, bfloat16 or int8; the CPU trains in float32, nothing in int8 (default float32)',
  },
} as const satisfies Flags;

export const JSON_FLAG = {
  json: { type: 'boolean', help: 'print JSON to standard output, for programs' },
} as const satisfies Flags;

/** What a command was called with. */
export interface Parsed<F extends Flags> {
  readonly values: Values<F>;
  readonly positionals: string[];
}

/**
 * The arguments of a command, or null when its help was asked for and is printed.
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
  // Node's strict mode refuses every value that begins with a dash, as `--seed -1` and `--prompt '- item'` have.
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
      if (value !== undefined) throw new UsageError(`--${name} takes no value, but is given '${value}'`);
      values[name] = true;
      continue;
    }
    if (value === undefined) throw new UsageError(`${rawName} needs a value`);
    if (!inlineValue && isFlag(value, flags)) {
      const remedy = `if '${value}' is meant as its value, write --${name}=${value}`;
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
  throw new UsageError(`there is no option '${rawName}'${near ? `; is --${near} meant?` : ''}`);
}

/** Whether a word is one of the options of a command, so that it is hardly meant as the value of the option before it. */
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

/** A decimal number, or undefined for anything else. */
export function parseNumber(text: string): number | undefined {
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : undefined;
}

/** The value of a flag that must be given. */
export function required<T>(name: string, value: T | undefined): T {
  if (value === undefined) throw new UsageError(`--${name} is missing`);
  return value;
}

/** @throws UsageError unless there is exactly one argument, which the help calls `what` */
export function onlyPositional(positionals: readonly string[], what: string): string {
  if (positionals.length === 1) return positionals[0]!;
  throw new UsageError(
    positionals.length === 0 ? `give a ${what}` : `give one ${what}, not ${positionals.length}`,
  );
}

/** @throws UsageError unless there is text, which the help says is for `purpose` */
export function checkTexts(patterns: readonly string[], purpose: string): void {
  if (patterns.length === 0) throw new UsageError(`give the text to ${purpose}: files, directories or globs`);
  if (patterns.includes('')) {
    throw new UsageError(`the text to ${purpose} must not be ''; . stands for the current directory`);
  }
}

function helpOf<F extends Flags>({ name, positionals, summary, example, flags }: CommandLine<F>): string {
  const lines = Object.entries({ ...flags, help: HELP }).map(([flag, { type, short, value, help }]) => {
    const left = `${short ? `-${short}, ` : '    '}--${flag}${type === 'boolean' ? '' : ` ${value ?? 'VALUE'}`}`;
    return `  ${left.padEnd(30)} ${help}`;
  });
  const usage = ['foretoken', name, positionals, '[options]'].filter(Boolean).join(' ');
  return [`Usage: ${usage}`, '', summary, '', ...lines, '', `Example: ${example}`, ''].join('\n');
}
