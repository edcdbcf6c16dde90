import { ForetokenError, type ErrorCode } from '../errors';
import type { Flags } from './flags';

/** Codes of errors about the options that the library was given. */
const ABOUT_OPTIONS: readonly ErrorCode[] = ['INVALID_ARGUMENT', 'INVALID_CONFIG', 'UNSUPPORTED'];

/**
 * Translates an error of the library for the command line: replaces the names of options by the flags that set them, or could
 * have set them. Returns every other error unchanged.
 * @param values values of the flags that were given
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
    // A word such as `rows` names an option if it is the subject or follows “option”; elsewhere it is English.
    const isSubject = (at === 0 && !subject) || /[A-Z.]/.test(word);
    const isMeant = isSubject ? speaksOf(message, values[name]) : problem.slice(0, at).endsWith('option ');
    if (!isMeant) return word;
    const isWhole = flagOf.get(first) !== name || inner.length === 0;
    return isWhole ? `--${name}` : `--${name}: ${inner.join('.')}`;
  });
  if (!subject && translated === problem) return error;
  // The message may also advise to change an option that was left at its default.
  const optionNames = new Map(
    Object.entries(flags).map(([name, { option }]) => [option ?? camelCased(name), name]),
  );
  const named = translated.replace(/(?<![-\w])[a-z]+(?:[A-Z]\w*)+/g, (word) => {
    const name = optionNames.get(word);
    return name === undefined ? word : `--${name}`;
  });
  return new ForetokenError(error.code, subject ? `--${subject}: ${named}` : named, { cause: error });
}

/** Whether a message is about a value: only numbers can be searched for. */
function speaksOf(message: string, value: unknown): boolean {
  return (typeof value !== 'number' && typeof value !== 'bigint') || message.includes(String(value));
}

function camelCased(name: string): string {
  return name.replace(/[- ](\w)/g, (_, letter: string) => letter.toUpperCase());
}
