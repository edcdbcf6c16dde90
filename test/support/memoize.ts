import { createHash } from 'node:crypto';
import { serialize } from 'node:v8';

/**
 * Returns a function that calls `compute` once for arguments with the same contents and keeps the result, so that an oracle
 * computes once for all devices. Callers must not change the result.
 * @param compute a function of plain data: numbers, strings, arrays, typed arrays, maps and objects of them
 */
export function memoize<Arguments extends unknown[], Result extends object>(
  compute: (...given: Arguments) => Result,
): (...given: Arguments) => Result {
  const results = new Map<string, Result>();
  return (...given) => {
    const key = createHash('sha256').update(serialize(given)).digest('base64');
    const known = results.get(key);
    if (known) return known;
    const result = compute(...given);
    results.set(key, result);
    return result;
  };
}
