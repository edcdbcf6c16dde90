/** Where the matches of a pattern go when a text is split, in the words of tokenizer.json. */
export const BEHAVIORS = [
  'Removed',
  'Isolated',
  'MergedWithPrevious',
  'MergedWithNext',
  'Contiguous',
] as const;

export type Behavior = (typeof BEHAVIORS)[number];

/** Whether a part joins the part before it; each is a match or lies between matches. */
const JOINS: Readonly<Record<Behavior, (previousMatches: boolean, matches: boolean) => boolean>> = {
  Removed: () => false,
  Isolated: () => false,
  MergedWithPrevious: (previousMatches, matches) => matches && !previousMatches,
  MergedWithNext: (previousMatches, matches) => previousMatches && !matches,
  Contiguous: (previousMatches, matches) => matches === previousMatches,
};

/**
 * Splits a text where a pattern matches.
 * @param pattern with the flag `g`
 * @param invert exchanges matches and the parts between them
 */
export function* splitText(
  text: string,
  pattern: RegExp,
  behavior: Behavior,
  invert = false,
): Generator<string, void, undefined> {
  const joins = JOINS[behavior];
  let start = 0;
  let end = 0;
  let previous: boolean | null = null;
  for (const [from, to, found] of parts(text, pattern)) {
    const matches = found !== invert;
    if (previous === null || !joins(previous, matches)) {
      if (end > start && !(behavior === 'Removed' && previous)) yield text.slice(start, end);
      start = from;
    }
    end = to;
    previous = matches;
  }
  if (end > start && !(behavior === 'Removed' && previous)) yield text.slice(start, end);
}

/** Yields start and end of each match and of each part between matches. */
function* parts(
  text: string,
  pattern: RegExp,
): Generator<[from: number, to: number, matches: boolean], void, undefined> {
  let end = 0;
  let at = 0;
  while (at <= text.length) {
    // Set before every search, because other texts may be split with the same pattern in between.
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (!match) break;
    const { index, 0: found } = match;
    if (found === '') {
      at = index + ((text.codePointAt(index) ?? 0) > 0xffff ? 2 : 1);
      continue;
    }
    if (index > end) yield [end, index, false];
    end = at = index + found.length;
    yield [index, end, true];
  }
  if (text.length > end) yield [end, text.length, false];
}
