import type { ErrorCode } from '../../lib/errors';

/** Matches a ForetokenError with this code and every one of these parts in its message. */
export function foretokenError(code: ErrorCode, ...parts: string[]): Error {
  const escaped = parts.map((part) => `(?=[^]*${part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')})`);
  return expect.objectContaining({
    name: 'ForetokenError',
    code,
    message: expect.stringMatching(new RegExp(`^${escaped.join('')}`)),
  }) as Error;
}
