import type { Fields } from './fields';
import { compileRegex } from './library';

/** White space as Unicode and the reference implementation define it; JavaScript's `\s` has U+FEFF and lacks U+0085. */
export const WHITE_SPACE = String.raw`\p{White_Space}`;
/** Characters of words, as `\w` of the reference implementation. */
export const WORD = String.raw`\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}`;

/** Reads a `pattern`, which is `{"String": …}` or a regular expression, `{"Regex": …}`, in Oniguruma's syntax. */
export function patternOf(fields: Fields): RegExp {
  const pattern = fields.object('pattern');
  if (pattern.has('String')) return literal(pattern.string('String'));
  try {
    return compileRegex(pattern.string('Regex'));
  } catch (cause) {
    throw pattern.error((cause as Error).message);
  }
}

/** Makes a pattern that matches a text and nothing else. */
export function literal(text: string): RegExp {
  return new RegExp(text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'), 'gu');
}
