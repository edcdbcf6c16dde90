/** White space as Python's `str.isspace` has it: Unicode's, and the four separators of ASCII. */
const isSpace = (letter: string): boolean =>
  /^\p{White_Space}$/u.test(letter) || (letter >= '\u001c' && letter <= '\u001f');

/**
 * Strips characters from the ends of a text, as Python's `strip`, `lstrip` and `rstrip` do.
 * @param characters to strip, each by itself; null for white space
 */
export function stripText(
  text: string,
  characters: string | null,
  { left = true, right = true } = {},
): string {
  const letters = Array.from(text);
  const set = characters === null ? null : new Set(characters);
  const strips = (letter: string): boolean => (set ? set.has(letter) : isSpace(letter));
  let [start, end] = [0, letters.length];
  while (left && start < end && strips(letters[start]!)) start += 1;
  while (right && end > start && strips(letters[end - 1]!)) end -= 1;
  return letters.slice(start, end).join('');
}

const MONTHS = 'January February March April May June July August September October November December'.split(
  ' ',
);
const DAYS = 'Sunday Monday Tuesday Wednesday Thursday Friday Saturday'.split(' ');

/** Writes a date as Python's `strftime` does in the C locale. Codes that are not known stay as they are. */
export function formatDate(date: Date, format: string): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const hour = date.getHours() % 12 || 12;
  const newYear = new Date(date.getFullYear(), 0, 0);
  const dayOfYear = Math.round((new Date(date).setHours(0, 0, 0, 0) - newYear.getTime()) / 86_400_000);
  const codes: Record<string, string> = {
    Y: String(date.getFullYear()),
    y: two(date.getFullYear() % 100),
    m: two(date.getMonth() + 1),
    d: two(date.getDate()),
    e: String(date.getDate()).padStart(2),
    j: String(dayOfYear).padStart(3, '0'),
    B: MONTHS[date.getMonth()]!,
    b: MONTHS[date.getMonth()]!.slice(0, 3),
    A: DAYS[date.getDay()]!,
    a: DAYS[date.getDay()]!.slice(0, 3),
    H: two(date.getHours()),
    I: two(hour),
    M: two(date.getMinutes()),
    S: two(date.getSeconds()),
    p: date.getHours() < 12 ? 'AM' : 'PM',
    '%': '%',
  };
  return format.replace(/%(-?)([a-zA-Z%])/g, (whole, short: string, code: string) => {
    const value = codes[code];
    if (value === undefined) return whole;
    return short ? value.replace(/^[0 ]+(?=.)/, '') : value;
  });
}
