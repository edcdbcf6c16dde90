import { parseArgs } from 'node:util';

/** A mistake in how a command was called: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

interface ValueOf {
  string: string;
  /** May be given several times. */
  strings: string[];
  integer: number;
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
  device: { type: 'string', value: 'NAME', help: 'auto, cpu, cuda, cuda:N or cuda-emulated (default auto)' },
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

/**
 * The arguments of a command, or null when its help was asked for and is printed.
 * @throws UsageError naming the argument
 */
export function parseCommand<F extends Flags>(
  command: CommandLine<F>,
  argv: readonly string[],
): { values: Values<F>; positionals: string[] } | null {
  const flags: Flags = { ...command.flags, help: HELP };
  const options = Object.fromEntries(
    Object.entries(flags).map(([name, { type, short }]) => [
      name,
      {
        type: type === 'boolean' ? ('boolean' as const) : ('string' as const),
        multiple: type === 'strings',
        ...(short && { short }),
      },
    ]),
  );
  let parsed;
  try {
    parsed = parseArgs({ args: [...argv], options, allowPositionals: true });
  } catch (error) {
    // Node explains at length; its first sentence says what is wrong.
    const [sentence] = (error as Error).message.split(/\.(?:\s|$)|\n/);
    throw new UsageError(sentence!.charAt(0).toLowerCase() + sentence!.slice(1));
  }
  if (parsed.values.help) {
    process.stdout.write(helpOf(command));
    return null;
  }
  const values = Object.entries(parsed.values).map(([name, value]) => [
    name,
    convert(name, flags[name]!, value),
  ]);
  return { values: Object.fromEntries(values) as Values<F>, positionals: parsed.positionals };
}

function convert(name: string, { type }: Flag, value: unknown): unknown {
  if (type !== 'integer' && type !== 'number') return value;
  const number = parseNumber(value as string);
  if (number === undefined || (type === 'integer' && !Number.isSafeInteger(number))) {
    throw new UsageError(
      `--${name} must be ${type === 'integer' ? 'an integer' : 'a number'}, but is '${value as string}'`,
    );
  }
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

function helpOf<F extends Flags>({ name, positionals, summary, example, flags }: CommandLine<F>): string {
  const lines = Object.entries({ ...flags, help: HELP }).map(([flag, { type, short, value, help }]) => {
    const left = `${short ? `-${short}, ` : '    '}--${flag}${type === 'boolean' ? '' : ` ${value ?? 'VALUE'}`}`;
    return `  ${left.padEnd(30)} ${help}`;
  });
  const usage = ['foretoken', name, positionals, '[options]'].filter(Boolean).join(' ');
  return [`Usage: ${usage}`, '', summary, '', ...lines, '', `Example: ${example}`, ''].join('\n');
}
