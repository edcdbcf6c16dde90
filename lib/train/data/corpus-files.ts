import { stat } from 'node:fs/promises';
import { posix, resolve } from 'node:path';
import { escapePath, glob } from 'tinyglobby';
import { ForetokenError } from '../../errors';
import { fileAccessError } from '../../files';
import { throwProblems, type FileProblem } from './problems';
import { LinkedTree } from './tree';

/**
 * Finds the text files that match patterns: pattern by pattern in the given order, sorted within a pattern. Returns absolute
 * paths, each file once even if several names and links lead to it. A file found both directly and through a link gets its
 * direct path.
 *
 * @param patterns files, directories (with everything inside, at any depth) or globs. Names that begin with a dot match only
 *   if the pattern spells them out.
 * @param exclude globs of files or directories to leave out. A glob without a slash matches a name at any depth.
 * @throws INVALID_DATA if a pattern matches no file; FILE_ACCESS naming every directory and link that cannot be read
 */
export async function findCorpusFiles(
  patterns: readonly string[],
  exclude: readonly string[] = [],
): Promise<string[]> {
  if (patterns.length === 0) {
    throw new ForetokenError('INVALID_DATA', 'the corpus is empty: no file, directory or pattern was given');
  }
  const ignore = exclude.map(excludePattern);
  const problems: FileProblem[] = [];
  const found = new Map<string, string>();
  for (const pattern of patterns) {
    const tree = new LinkedTree();
    const paths = await glob(await absolutePattern(pattern), {
      absolute: true,
      cwd: '/',
      ignore,
      fs: tree.fs,
    });
    problems.push(...tree.problems);
    if (paths.length === 0 && tree.problems.length === 0) throw noFile(pattern, exclude);
    for (const [real, path] of await byRealPath(tree, paths, problems)) {
      if (!found.has(real)) found.set(real, path);
    }
  }
  throwProblems(problems, []);
  return [...found.values()];
}

/** Makes a pattern absolute. An existing path is taken literally, even if it looks like a pattern. */
async function absolutePattern(pattern: string): Promise<string> {
  const status = await stat(pattern).catch((cause: unknown) => {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'EACCES' || code === 'ELOOP') throw fileAccessError('read', pattern, cause);
    return undefined;
  });
  if (!status) return posix.resolve(escapePath(process.cwd()), pattern);
  if (!status.isDirectory() && !status.isFile()) {
    const problem =
      'neither a file nor a directory; write the text to a file first, because it is read more than once';
    throw new ForetokenError('INVALID_DATA', `${pattern}: ${problem}`);
  }
  return escapePath(resolve(pattern)) + (status.isDirectory() ? '/**/*' : '');
}

function excludePattern(pattern: string): string {
  if (pattern.startsWith('**/')) return pattern;
  return pattern.includes('/') ? posix.resolve(escapePath(process.cwd()), pattern) : `**/${pattern}`;
}

function noFile(pattern: string, exclude: readonly string[]): ForetokenError {
  const left = exclude.length > 0 ? `, apart from what is excluded (${exclude.join(', ')})` : '';
  return new ForetokenError('INVALID_DATA', `no file matches ${pattern}${left} (looked in ${process.cwd()})`);
}

/** Maps the real path of each found file to one of its paths, sorted. */
async function byRealPath(
  tree: LinkedTree,
  paths: readonly string[],
  problems: FileProblem[],
): Promise<[real: string, path: string][]> {
  const chosen = new Map<string, string>();
  for (const path of [...paths].sort()) {
    try {
      const real = await tree.realPath(path);
      if (path === real || !chosen.has(real)) chosen.set(real, path);
    } catch (cause) {
      problems.push({ path, error: fileAccessError('read', path, cause) });
    }
  }
  return [...chosen].sort(([, a], [, b]) => (a < b ? -1 : 1));
}
