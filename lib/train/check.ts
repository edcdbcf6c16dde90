import { ForetokenError } from '../errors';

/** Checks a number that a caller chose. `what` names it for the message, as in `RowOrder: seed`. */
export function checkNumber(what: string, value: number, lowest: number, highest = Infinity): number {
  if (Number.isFinite(value) && value >= lowest && value <= highest) return value;
  throw invalid(what, 'a number', value, lowest, highest);
}

/** Checks an integer that a caller chose. */
export function checkInteger(
  what: string,
  value: number,
  lowest: number,
  highest = Number.MAX_SAFE_INTEGER,
): number {
  if (Number.isSafeInteger(value) && value >= lowest && value <= highest) return value;
  throw invalid(what, 'an integer', value, lowest, highest);
}

function invalid(
  what: string,
  kind: string,
  value: unknown,
  lowest: number,
  highest: number,
): ForetokenError {
  const limits = highest < Number.MAX_SAFE_INTEGER ? `from ${lowest} to ${highest}` : `of at least ${lowest}`;
  return new ForetokenError('INVALID_ARGUMENT', `${what} must be ${kind} ${limits}, but is ${String(value)}`);
}

/** Refuses a choice that is none of those there are. */
export function unknownChoice(what: string, value: never, choices: readonly string[]): ForetokenError {
  const given = JSON.stringify(value);
  return new ForetokenError(
    'INVALID_ARGUMENT',
    `${what} must be one of ${choices.join(', ')}, but is ${given}`,
  );
}
