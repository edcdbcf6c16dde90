import { ForetokenError, type ErrorCode } from '../errors';
import type { Flags } from './arguments';

/** The codes of errors that are about what the library was given. */
const ABOUT_OPTIONS: readonly ErrorCode[] = ['INVALID_ARGUMENT', 'INVALID_CONFIG', 'UNSUPPORTED'];

/**
 * An error of the library in the words of the command line: it names the flags that were typed in place of the options that
 * they became, and beside them flags that could have been. Every other error passes as it is.
 * @param values those of the flags that were given
 */
export function inFlags(error: unknown, flags: Flags, values: Readonly<Record<string, unknown>>): unknown {
  if (!(error instanceof ForetokenError) || !ABOUT_OPTIONS.includes(error.code)) return error;
  const { message } = error;
  const given = Object.entries(flags).filter(([name]) => values[name] !== undefined);
  const flagOf = new Map(given.map(([name, { option }]) => [option ?? camelCased(name), name]));
  const [, caller = '', problem = ''] = /^(?:([a-z][\w. ]*): )?(.*)$/is.exec(message)!;
  const subject = flagOf.get(camelCased(caller));
  const translated = problem.replace(/[a-z]\w*(?:\.\w+)*/gi, (word, at: number) => {
    const [first = '', ...inner] = word.split('.');
    const name = flagOf.get(word) ?? flagOf.get(inner.at(-1) ?? '') ?? flagOf.get(first);
    if (name === undefined) return word;
    // A word such as `rows` is an option where it is the subject or is called one; elsewhere it is English.
    const isSubject = (at === 0 && !subject) || /[A-Z.]/.test(word);
    const isMeant = isSubject ? speaksOf(message, values[name]) : problem.slice(0, at).endsWith('option ');
    if (!isMeant) return word;
    const isWhole = flagOf.get(first) !== name || inner.length === 0;
    return isWhole ? `--${name}` : `--${name}: ${inner.join('.')}`;
  });
  if (!subject && translated === problem) return error;
  // An option that keeps its default may be what is to be changed.
  const optionNames = new Map(
    Object.entries(flags).map(([name, { option }]) => [option ?? camelCased(name), name]),
  );
  const named = translated.replace(/(?<![-\w])[a-z]+(?:[A-Z]\w*)+/g, (word) => {
    const name = optionNames.get(word);
    return name === undefined ? word : `--${name}`;
  });
  return new ForetokenError(error.code, subject ? `--${subject}: ${named}` : named, { cause: error });
}

/** Whether a message is about a value, as far as that can be looked for. */
function speaksOf(message: string, value: unknown): boolean {
  return (typeof value !== 'number' && typeof value !== 'bigint') || message.includes(String(value));
}

function camelCased(name: string): string {
  return name.replace(/[- ](\w)/g, (_, letter: string) => letter.toUpperCase());
}
