import { stat } from 'node:fs/promises';
import { posix, resolve } from 'node:path';
import { escapePath, glob } from 'tinyglobby';
import { ForetokenError } from '../../errors';
import { fileAccessError } from '../../files';
import { throwProblems, type FileProblem } from './problems';
import { LinkedTree } from './tree';

/**
 * The text files that patterns stand for, as absolute paths, each file once, however many names and links lead to it:
 * pattern by pattern as given, sorted within. A file that is found in its own place and through a link is taken from its
 * own place.
 *
 * @param patterns files, directories (everything inside, however deep) or globs. Names that begin with a dot are
 *   found only when they are written out.
 * @param exclude globs of what to leave out, files or directories. Without a slash, a name at any depth.
 * @throws INVALID_DATA when a pattern stands for no file; FILE_ACCESS naming every directory and link that cannot be
 *   read.
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

/** What exists is taken by its name, even if that looks like a pattern. */
async function absolutePattern(pattern: string): Promise<string> {
  const status = await stat(pattern).catch((cause: unknown) => {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'EACCES' || code === 'ELOOP') throw fileAccessError('read', pattern, cause);
    return undefined;
  });
  if (!status) return posix.resolve(escapePath(process.cwd()), pattern);
  if (!status.isDirectory() && !status.isFile()) {
    const problem =
      'neither a file nor a directory; text is read more than once, so write it to a file first';
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

/** The paths that were found, sorted, by what they really are; one path for each file. */
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
