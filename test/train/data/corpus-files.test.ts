import fc from 'fast-check';
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, realpathSync, statSync, symlinkSync } from 'node:fs';
import { join, relative } from 'node:path';
import { findCorpusFiles } from '../../../lib/train/data/corpus-files';
import { foretokenError } from '../../support/errors';
import { asOrdinaryUser, TemporaryDirectory } from '../../support/temporary';

const directory = new TemporaryDirectory();

/** Real paths of the files reachable from `root` without hidden names, sorted. */
function realFiles(root: string): string[] {
  const files = new Set<string>();
  const visited = new Set<string>();
  const walk = (path: string) => {
    const real = realpathSync(path);
    if (statSync(real).isFile()) files.add(real);
    else if (!visited.has(real)) {
      visited.add(real);
      for (const name of readdirSync(real)) if (!name.startsWith('.')) walk(join(real, name));
    }
  };
  walk(root);
  return [...files].sort();
}

describe('finding files', () => {
  // In the order of results.
  const inA = ['a/b/c.md', 'a/b/d.log', 'a/z.txt'];
  const all = ['B.txt', 'a.txt', ...inA, 'b.txt', 'x[1].txt'];
  const atTheTop = all.filter((name) => !inA.includes(name));

  beforeEach(() => {
    for (const name of [...all].reverse()) directory.write(name, name);
    directory.write('a/.hidden', '');
  });

  const found = async (patterns: string[], exclude?: string[]) => {
    const files = await findCorpusFiles(
      patterns.map((pattern) => directory.at(pattern)),
      exclude,
    );
    return files.map((file) => relative(directory.path, file));
  };

  it('takes everything in a directory except hidden files, sorted', async () => {
    expect(await found([''])).toEqual(all);
    expect(await found(['a'])).toEqual(inA);
    expect(await found(['a/'])).toEqual(inA);
  });

  it('takes globs', async () => {
    expect(await found(['*.txt'])).toEqual(atTheTop);
    expect(await found(['**/*.{md,log}'])).toEqual(['a/b/c.md', 'a/b/d.log']);
  });

  it('takes existing files literally, even hidden or with characters of a pattern', async () => {
    expect(await found(['a/.hidden', 'x[1].txt'])).toEqual(['a/.hidden', 'x[1].txt']);
  });

  it('keeps the order of the patterns, and each file once', async () => {
    expect(await found(['b.txt', '*.txt', 'a/z.txt'])).toEqual([
      'b.txt',
      'B.txt',
      'a.txt',
      'x[1].txt',
      'a/z.txt',
    ]);
  });

  it('leaves out names at any depth, paths and globs', async () => {
    expect(await found(['a'], ['*.log'])).toEqual(['a/b/c.md', 'a/z.txt']);
    expect(await found(['a'], ['b'])).toEqual(['a/z.txt']);
    expect(await found(['a'], ['**/c.*'])).toEqual(['a/b/d.log', 'a/z.txt']);
    expect(await found(['a'], [directory.at('a/b')])).toEqual(['a/z.txt']);
    expect(await found(['a'], [relative(process.cwd(), directory.at('a/b/*.md'))])).toEqual([
      'a/b/d.log',
      'a/z.txt',
    ]);
    expect(await found(['*.txt'], ['b.txt'])).toEqual(['B.txt', 'a.txt', 'x[1].txt']);
  });

  it('takes paths relative to the working directory', async () => {
    const files = await findCorpusFiles([relative(process.cwd(), directory.at('a'))]);
    expect(files[0]).toBe(directory.at('a/b/c.md'));
  });

  it('follows links, and takes each file once, by its direct path if found', async () => {
    symlinkSync(directory.at('a/b'), directory.at('link'));
    symlinkSync(directory.at('a/z.txt'), directory.at('0.txt'));
    expect(await found(['link'])).toEqual(['link/c.md', 'link/d.log']);
    expect(await found(['link', 'a'])).toEqual(['link/c.md', 'link/d.log', 'a/z.txt']);
    expect(await found(['0.txt', 'link/c.md'])).toEqual(['0.txt', 'link/c.md']);
    expect(await found([''])).toEqual(all);
    expect(await found(['**/link/*.md'])).toEqual(['link/c.md']);
  });

  it('ends despite circular links', async () => {
    symlinkSync(directory.at('a'), directory.at('a/b/up'));
    symlinkSync('.', directory.at('a/self'));
    expect(await found(['a'])).toEqual(inA);
    expect(await found(['a/**/z.txt'])).toEqual(['a/z.txt']);
  });

  it('finds the same files as a walk through the real directories, in trees with any links', async () => {
    const name = fc.constantFrom('a', 'ab', 'b', 'c d', '.e', '[f]');
    const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'));
    const tree = fc.record({
      files: fc.array(path, { minLength: 1, maxLength: 6 }),
      links: fc.array(fc.tuple(path, path), { maxLength: 5 }),
    });
    let trees = 0;
    await fc.assert(
      fc.asyncProperty(tree, async ({ files, links }) => {
        const root = directory.at(`tree-${trees++}`);
        const quietly = (make: () => void) => {
          try {
            make();
          } catch {
            // A file or directory of that name exists already.
          }
        };
        for (const file of files)
          quietly(() => directory.write(relative(directory.path, join(root, file)), file));
        for (const [from, to] of links) {
          if (!existsSync(join(root, to))) continue;
          quietly(() => symlinkSync(join(root, to), join(root, from)));
        }
        const expected = realFiles(root);
        if (expected.length === 0) {
          await expect(findCorpusFiles([root])).rejects.toEqual(foretokenError('INVALID_DATA', root));
          return;
        }
        const actual = await findCorpusFiles([root]);
        expect(actual.map((file) => realpathSync(file)).sort()).toEqual(expected);
        expect(await findCorpusFiles([root, `${root}/**/*`, ...actual])).toEqual(actual);
      }),
      { numRuns: 100 },
    );
  });

  it('names every directory and link that cannot be read', async () => {
    symlinkSync(directory.at('none'), directory.at('a/dangling.txt'));
    symlinkSync(directory.at('a/loop.txt'), directory.at('a/loop.txt'));
    await expect(found(['a'])).rejects.toEqual(
      foretokenError('FILE_ACCESS', '2 files', directory.at('a/dangling.txt'), directory.at('a/loop.txt')),
    );
    expect(await found(['a'], ['dangling.txt', 'loop.txt'])).toHaveLength(3);
    await asOrdinaryUser(directory.path, async () => {
      chmodSync(directory.at('a/b'), 0);
      await expect(found(['b.txt', 'a'], ['*loop*', '*dangling*'])).rejects.toEqual(
        foretokenError(
          'FILE_ACCESS',
          `cannot read ${directory.at('a/b')}: permission denied`,
          'leave it out',
        ),
      );
      await expect(found(['a/b/c.md'])).rejects.toEqual(
        foretokenError('FILE_ACCESS', directory.at('a/b/c.md'), 'permission denied'),
      );
      expect(await found(['a'], ['b', '*loop*', '*dangling*'])).toEqual(['a/z.txt']);
      chmodSync(directory.at('a/b'), 0o700);
    });
  });

  it('refuses paths that are neither file nor directory', async () => {
    execFileSync('mkfifo', [directory.at('pipe')]);
    await expect(found(['pipe'])).rejects.toEqual(
      foretokenError('INVALID_DATA', directory.at('pipe'), 'neither a file nor a directory'),
    );
    expect(await found(['*'])).not.toContain('pipe');
  });

  it('refuses a pattern without files', async () => {
    await expect(found(['a.txt', '*.pdf'])).rejects.toEqual(
      foretokenError('INVALID_DATA', 'no file matches', '*.pdf', process.cwd()),
    );
    await expect(found(['a'], ['*'])).rejects.toEqual(
      foretokenError('INVALID_DATA', directory.at('a'), 'excluded (*)'),
    );
    mkdirSync(directory.at('empty'));
    await expect(found(['empty'])).rejects.toEqual(foretokenError('INVALID_DATA', directory.at('empty')));
    await expect(found([])).rejects.toEqual(foretokenError('INVALID_DATA', 'the corpus is empty'));
  });
});
