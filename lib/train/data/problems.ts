import { extname } from 'node:path';
import { escapePath } from 'tinyglobby';
import { ForetokenError } from '../../errors';

/** Why a file or directory of the corpus cannot be used. */
export interface FileProblem {
  readonly path: string;
  readonly error: ForetokenError;
}

/** More messages would push the advice off the screen. */
const MOST_NAMED = 20;

/**
 * Throws all problems of a corpus' files in one error, so that users can repair all files before the next attempt. Does nothing
 * without problems.
 *
 * @param files all files of the corpus, for advice
 * @throws ForetokenError with the code of the first problem
 */
export function throwProblems(problems: readonly FileProblem[], files: readonly string[]): void {
  const [first, ...others] = problems;
  if (!first) return;
  const { code, message } = first.error;
  const leaveOut = `exclude ${named(exclusions(problems, files), ', ')}`;
  const text =
    others.length === 0
      ? `${message}; repair the file, or leave it out (${leaveOut})`
      : `${problems.length} files of the corpus cannot be used:\n  ${named(
          problems.map(({ error }) => error.message),
          '\n  ',
        )}\nrepair them, or leave them out (${leaveOut})`;
  throw new ForetokenError(code, text, { cause: first.error });
}

function named(list: readonly string[], separator: string): string {
  const left = list.length - MOST_NAMED;
  return [...list.slice(0, MOST_NAMED), ...(left > 0 ? [`and ${left} more`] : [])].join(separator);
}

/** Returns globs to exclude: one for all files of an extension if none of them can be used, else paths. */
function exclusions(problems: readonly FileProblem[], files: readonly string[]): string[] {
  const all = new Set(files);
  const bad = new Set(problems.map(({ path }) => path));
  const kindsInUse = new Set(files.filter((path) => !bad.has(path)).map(extname));
  const patterns = [...bad].map((path) => {
    const kind = extname(path);
    const isLeftOut = kind !== '' && all.has(path) && !kindsInUse.has(kind);
    return isLeftOut ? `*${escapePath(kind)}` : escapePath(path);
  });
  return [...new Set(patterns)];
}
