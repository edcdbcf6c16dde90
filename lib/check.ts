import { ForetokenError, type ErrorCode } from './errors';
import { nearestName } from './nearest-name';

/** Describes the allowed values of an argument. Checkers are made once, from smaller checkers, and used at every call. */
export interface Checker<out T> {
  /** The allowed values in words, for messages: `an integer from 1 to 5`. */
  readonly allowed: string;
  /** Whether a value is of the right kind; its parts are not checked. */
  readonly fits: (value: unknown) => boolean;
  /** Checks the parts of a value and returns a copy that has only these parts. Absent for values without parts. */
  readonly parts?: (what: string, value: unknown) => T;
}

/** The checker of a required option. */
export interface Required<out T> extends Checker<T> {
  readonly isRequired: true;
}

/** A checker for every option of T: a schema that lacks one does not compile. */
export type Schema<T> = {
  readonly [Name in keyof T]-?: undefined extends T[Name] ? Checker<T[Name]> : Required<T[Name]>;
};

/**
 * Checks one argument.
 * @param what names the function and the argument for the message, as in `KvCache: capacity`
 * @throws ForetokenError INVALID_ARGUMENT naming the argument, what was given and what is allowed
 */
export function check<T>(what: string, value: unknown, by: Checker<T>): T {
  const { allowed, fits, parts } = by;
  let isRight: boolean;
  try {
    isRight = fits(value);
  } catch (cause) {
    throw unreadable(what, cause);
  }
  if (!isRight) throw refused(what, allowed, value);
  return parts ? parts(what, value) : (value as T);
}

/** Whether a value is of the right kind; false also if reading the value throws. */
export function isFit<T>(value: unknown, by: Checker<T>): value is T {
  try {
    return by.fits(value);
  } catch {
    return false;
  }
}

/**
 * Checks the options of a function, reading each of them once.
 * @param where the function's name for the message, as in `generate`
 * @param owner the name that messages about unknown options begin with
 * @returns a copy of the given options, without those that are undefined
 * @throws ForetokenError INVALID_ARGUMENT naming an option that is unknown, missing or has a wrong value
 */
export function checkOptions<T extends object>(
  where: string,
  options: T,
  schema: Schema<NoInfer<T>>,
  owner = where,
): T {
  if (!isOptions(options)) throw refused(`${where}: options`, 'an object', options);
  return checkFields(`${where}: `, options, schema, owner);
}

function checkFields<T extends object>(prefix: string, options: T, schema: Schema<T>, owner: string): T {
  const checkers = schema as Readonly<Record<string, Checker<unknown> & Partial<Required<unknown>>>>;
  const given = options as Readonly<Record<string, unknown>>;
  const checked: Record<string, unknown> = {};
  for (const name of namesOf(owner, given)) {
    if (Object.hasOwn(checkers, name)) continue;
    const value = read(prefix + name, given, name);
    if (value !== undefined) throw unknownName(owner, name, value, Object.keys(checkers));
  }
  // All names of the schema, because `given` may inherit options, as from an object of defaults.
  for (const name of Object.keys(checkers)) {
    const what = prefix + name;
    const value = read(what, given, name);
    const each = checkers[name]!;
    if (value !== undefined || each.isRequired) checked[name] = check(what, value, each);
  }
  return checked as T;
}

function namesOf(owner: string, given: object): string[] {
  try {
    return Object.keys(given);
  } catch (cause) {
    throw unreadable(owner, cause);
  }
}

/** Reads an option; its getter may throw. */
function read(what: string, given: Readonly<Record<string, unknown>>, name: string): unknown {
  try {
    return given[name];
  } catch (cause) {
    throw unreadable(what, cause);
  }
}

/** Whether a value is an object, but not of a class such as Array or Map. */
function isOptions(value: unknown): boolean {
  try {
    return (
      typeof value === 'object' &&
      value !== null &&
      Object.prototype.toString.call(value) === '[object Object]'
    );
  } catch {
    return false;
  }
}

/** Makes a checker from a test. */
export function checker<T>(allowed: string, fits: (value: unknown) => boolean): Checker<T> {
  return { allowed, fits };
}

/** Makes a checker of finite numbers. */
export function number(lowest: number, highest = Infinity): Checker<number> {
  return checker(
    `a number${limits(lowest, highest)}`,
    (value) => Number.isFinite(value) && (value as number) >= lowest && (value as number) <= highest,
  );
}

/** Whether a value is an integer in this range that a number holds exactly. */
export function isInteger(
  value: unknown,
  lowest: number,
  highest = Number.MAX_SAFE_INTEGER,
): value is number {
  return Number.isSafeInteger(value) && (value as number) >= lowest && (value as number) <= highest;
}

/** Makes a checker of integers that a number holds exactly. */
export function integer(lowest: number, highest = Number.MAX_SAFE_INTEGER): Checker<number> {
  return checker(`an integer${limits(lowest, highest)}`, (value) => isInteger(value, lowest, highest));
}

function limits(lowest: number, highest: number): string {
  if (highest < Number.MAX_SAFE_INTEGER) return ` from ${lowest} to ${highest}`;
  return lowest > -Number.MAX_SAFE_INTEGER ? ` of at least ${lowest}` : '';
}

export const boolean: Checker<boolean> = checker('true or false', (value) => typeof value === 'boolean');
export const string: Checker<string> = checker('a string', (value) => typeof value === 'string');

/** Checks the name of a file or directory. No system allows an empty name, or a NUL in a name. */
export const path: Checker<string> = checker(
  'a path',
  (value) => typeof value === 'string' && value !== '' && !value.includes('\0'),
);

/** Checks that an option is a function; its parameters are left to TypeScript. */
export const callback: Checker<never> = checker('a function', (value) => typeof value === 'function');

/** Checks an AbortSignal by its shape, because it may come from another realm or implementation. */
export const signal: Checker<AbortSignal> = checker(
  'an AbortSignal',
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    typeof (value as AbortSignal).aborted === 'boolean' &&
    typeof (value as AbortSignal).addEventListener === 'function' &&
    typeof (value as AbortSignal).throwIfAborted === 'function',
);

/** Makes a checker of some words or numbers. */
export function oneOf<const T extends string | number>(...choices: readonly T[]): Checker<T> {
  const allowed = choices.length === 1 ? show(choices[0]) : `one of ${choices.join(', ')}`;
  return checker(allowed, (value) => choices.some((choice) => choice === value));
}

/** Makes a checker of a class's instances; its constructor may be private. */
export function instance<T>(type: { readonly prototype: T; readonly name: string }): Checker<T> {
  const article = /^[AEIOU]/.test(type.name) ? 'an' : 'a';
  return checker(`${article} ${type.name}`, (value) =>
    Object.prototype.isPrototypeOf.call(type.prototype as object, value as object),
  );
}

/** Makes a checker of objects with these methods or properties, of any class. */
export function shaped<T>(allowed: string, shape: Readonly<Partial<Record<keyof T, string>>>): Checker<T> {
  return checker(
    allowed,
    (value) =>
      ((typeof value === 'object' && value !== null) || typeof value === 'function') &&
      Object.entries(shape).every(([name, type]) => typeof value[name as keyof typeof value] === type),
  );
}

/** Makes a checker of arrays of at most `most` elements, which copies them. */
export function arrayOf<T>(element: Checker<T>, most = Infinity): Checker<T[]> {
  return {
    allowed: `an array${most < Infinity ? ` of at most ${most}` : ''}, each element ${element.allowed}`,
    fits: (value) => Array.isArray(value) && value.length <= most,
    parts: (what, value) => {
      const given = value as Readonly<Record<string, unknown>>;
      const length = read(`${what}.length`, given, 'length') as number;
      const checked: T[] = [];
      for (let i = 0; i < length; i++) {
        const at = `${what}[${i}]`;
        checked.push(check(at, read(at, given, String(i)), element));
      }
      return checked;
    },
  };
}

/** A checker of objects with any names, which copies them. */
export const dictionary: Checker<Readonly<Record<string, unknown>>> = {
  allowed: 'an object',
  fits: isOptions,
  parts: (what, value) => {
    const given = value as Readonly<Record<string, unknown>>;
    return Object.fromEntries(
      namesOf(what, given).map((name) => [name, read(`${what}.${name}`, given, name)]),
    );
  },
};

/** Makes a checker of values of several kinds; the first kind that fits checks the parts. */
export function either<T extends readonly unknown[]>(
  ...checkers: { readonly [I in keyof T]: Checker<T[I]> }
): Checker<T[number]> {
  const all = checkers as readonly Checker<T[number]>[];
  return {
    allowed: all.map(({ allowed }) => allowed).join(', or '),
    fits: (value) => all.some(({ fits }) => fits(value)),
    parts: (what, value) =>
      check(
        what,
        value,
        all.find(({ fits }) => fits(value))!,
      ),
  };
}

/** Makes an option required. */
export function required<T>(of: Checker<T>): Required<T> {
  return { ...of, isRequired: true };
}

/** Makes a checker that allows null, too. */
export function nullable<T>(of: Checker<T>): Checker<T | null> {
  const { allowed, fits, parts } = of;
  return {
    allowed: `${allowed}, or null`,
    fits: (value) => value === null || fits(value),
    ...(parts && { parts: (what, value) => (value === null ? null : parts(what, value)) }),
  };
}

/** Makes a checker of options inside options. */
export function object<T extends object>(schema: Schema<T>): Checker<T> {
  return {
    allowed: `an object with ${Object.keys(schema).join(', ')}`,
    fits: isOptions,
    parts: (what, value) => checkFields(`${what}.`, value as T, schema, what),
  };
}

/** Makes a checker of options of several kinds, which one option, the tag, distinguishes. */
export function variants<T extends object, Tag extends keyof T & string>(
  tag: Tag,
  schemas: {
    readonly [Kind in T[Tag] & string]: Omit<Schema<Extract<T, Readonly<Record<Tag, Kind>>>>, Tag>;
  },
): Checker<T> {
  const kinds = Object.keys(schemas);
  const kind = required(oneOf(...kinds));
  return {
    allowed: `an object with ${tag}: ${kinds.join(', ')}`,
    fits: isOptions,
    parts: (what, value) => {
      const at = `${what}.${tag}`;
      const given = check(at, read(at, value as Record<string, unknown>, tag), kind);
      const schema = { [tag]: kind, ...schemas[given as keyof typeof schemas] };
      return checkFields(`${what}.`, value as T, schema as unknown as Schema<T>, what);
    },
  };
}

/** Checks a number. `what` names it for the message, as in `RowOrder: seed`. */
export function checkNumber(what: string, value: number, lowest: number, highest?: number): number {
  return check(what, value, number(lowest, highest));
}

/**
 * Checks an integer. `what` names it for the message.
 * @param code of the error, for an integer that is no argument but was read from a file, say
 */
export function checkInteger(
  what: string,
  value: unknown,
  lowest: number,
  highest?: number,
  code?: ErrorCode,
): number {
  if (isInteger(value, lowest, highest)) return value;
  throw refused(what, integer(lowest, highest).allowed, value, code);
}

/**
 * Checks an index into something with `length` elements.
 * @throws ForetokenError INDEX_OUT_OF_RANGE, worded as that of {@link checkInteger}
 */
export function checkIndex(where: string, name: string, value: number, length: number): number {
  return checkInteger(`${where}: ${name}`, value, 0, length - 1, 'INDEX_OUT_OF_RANGE');
}

/** Makes the error for a choice that is not among `choices`. */
export function unknownChoice(what: string, value: never, choices: readonly string[]): ForetokenError {
  return refused(what, oneOf(...choices).allowed, value);
}

function refused(
  what: string,
  allowed: string,
  value: unknown,
  code: ErrorCode = 'INVALID_ARGUMENT',
): ForetokenError {
  const problem =
    value === undefined ? `is missing; it must be ${allowed}` : `must be ${allowed}, but is ${show(value)}`;
  return new ForetokenError(code, `${what} ${problem}`);
}

function unreadable(what: string, cause: unknown): ForetokenError {
  return new ForetokenError('INVALID_ARGUMENT', `${what} cannot be read: reading it throws ${show(cause)}`, {
    cause,
  });
}

function unknownName(owner: string, name: string, value: unknown, known: readonly string[]): ForetokenError {
  const nearest = nearestName(name, known);
  const advice = nearest === undefined ? '' : `; do you mean ${nearest}?`;
  const list = known.length === 0 ? 'It has no options' : `Its options are ${known.join(', ')}`;
  const called = /^[\w$-]{1,60}$/.test(name) ? name : show(name);
  const problem = `has no option ${called} (given: ${show(value)})${advice || '.'} ${list}.`;
  return new ForetokenError('INVALID_ARGUMENT', `${owner} ${problem}`);
}

/** Largest number of letters of a text in a message. */
const LONGEST = 60;

/** Describes a value for a message: short, and without reading more of an object than its class, because reading may throw. */
export function show(value: unknown): string {
  if (typeof value === 'string') {
    return JSON.stringify(value.length > LONGEST ? `${value.slice(0, LONGEST)}…` : value);
  }
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'function') return 'a function';
  return typeof value === 'object' && value !== null ? showObject(value) : String(value);
}

function showObject(value: object): string {
  try {
    if (Array.isArray(value)) {
      if (value.length === 0) return '[]';
      const first = value.slice(0, 4).map((each) => (typeof each === 'object' ? '…' : show(each)));
      return `[${first.join(', ')}${value.length > 4 ? ', …' : ''}]`;
    }
    if (value instanceof Error) return `${value.name}: ${value.message}`;
    const name: unknown = value.constructor?.name;
    if (typeof name !== 'string' || name === '' || name === 'Object') return 'an object';
    return `${/^[AEIOU]/.test(name) ? 'an' : 'a'} ${name}`;
  } catch {
    return 'an object that cannot be read';
  }
}
