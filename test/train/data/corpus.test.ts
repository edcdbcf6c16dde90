import { chmodSync, mkdirSync, symlinkSync } from 'node:fs';
import { relative } from 'node:path';
import { findCorpusFiles, readDocuments } from '../../../lib/train/data/corpus';
import { foretokenError } from '../../support/errors';
import { TemporaryDirectory } from '../../support/temporary';

const directory = new TemporaryDirectory();

async function documentsOf(path: string, textField?: string): Promise<string[]> {
  const documents: string[] = [];
  for await (const document of readDocuments(path, textField)) documents.push(document);
  return documents;
}

describe('finding files', () => {
  beforeEach(() => {
    for (const name of [
      'b.txt',
      'a.txt',
      'a/z.txt',
      'a/b/c.md',
      'a/b/d.log',
      'a/.hidden',
      'B.txt',
      'x[1].txt',
    ]) {
      directory.write(name, name);
    }
  });

  const found = async (patterns: string[], exclude?: string[]) => {
    const files = await findCorpusFiles(
      patterns.map((pattern) => directory.at(pattern)),
      exclude,
    );
    return files.map((file) => relative(directory.path, file));
  };

  it('takes a directory with everything inside but hidden files, sorted', async () => {
    expect(await found([''])).toEqual([
      'B.txt',
      'a.txt',
      'a/b/c.md',
      'a/b/d.log',
      'a/z.txt',
      'b.txt',
      'x[1].txt',
    ]);
    expect(await found(['a'])).toEqual(['a/b/c.md', 'a/b/d.log', 'a/z.txt']);
    expect(await found(['a/'])).toEqual(['a/b/c.md', 'a/b/d.log', 'a/z.txt']);
  });

  it('takes globs', async () => {
    expect(await found(['*.txt'])).toEqual(['B.txt', 'a.txt', 'b.txt', 'x[1].txt']);
    expect(await found(['**/*.{md,log}'])).toEqual(['a/b/c.md', 'a/b/d.log']);
  });

  it('takes files as they are named, hidden or with the characters of a pattern', async () => {
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

  it('follows links, and survives one to its own directory', async () => {
    symlinkSync(directory.at('a/b'), directory.at('link'));
    expect(await found(['link'])).toEqual(['link/c.md', 'link/d.log']);
    symlinkSync(directory.at('a'), directory.at('a/b/up'));
    expect(await found(['a'])).toEqual(expect.arrayContaining(['a/z.txt']));
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

describe('documents', () => {
  it('are the whole of a text file, unchanged', async () => {
    expect(await documentsOf(directory.write('t.txt', ' one\r\n\n{"two": 2}\n'))).toEqual([
      ' one\r\n\n{"two": 2}\n',
    ]);
  });

  it('do not begin with a byte order mark, and are never empty', async () => {
    expect(await documentsOf(directory.write('bom.txt', '\ufeffx\ufeff'))).toEqual(['x\ufeff']);
    expect(await documentsOf(directory.write('empty.txt', ''))).toEqual([]);
    expect(await documentsOf(directory.write('e.jsonl', '\ufeff{"text": ""}\n{"text": "x"}\n'))).toEqual([
      'x',
    ]);
  });

  it('are one field of each line of a .jsonl file', async () => {
    const lines = '{"text": "a\\nb", "body": "1"}\r\n\n  \n{"body": "2", "text": "ü"}';
    const path = directory.write('d.jsonl', lines);
    expect(await documentsOf(path)).toEqual(['a\nb', 'ü']);
    expect(await documentsOf(path, 'body')).toEqual(['1', '2']);
  });

  it('may be longer than a piece that is read at once', async () => {
    const texts = Array.from({ length: 5 }, (_, i) => `${i}é`.repeat(300_000 * (i + 1)));
    const path = directory.write('long.jsonl', texts.map((text) => JSON.stringify({ text })).join('\n'));
    expect((await documentsOf(path)).map((text, i) => text === texts[i])).toEqual([
      true,
      true,
      true,
      true,
      true,
    ]);
  });

  it('that are not UTF-8 are refused with the byte', async () => {
    const text = directory.write('latin1.txt', Buffer.from('caf\xe9 au lait', 'latin1'));
    await expect(documentsOf(text)).rejects.toEqual(foretokenError('INVALID_DATA', text, '0xe9', 'offset 3'));
    const bytes = Buffer.concat([
      Buffer.from('{"text": "é"}\n{"text": "'),
      Buffer.from([0xff]),
      Buffer.from('"}'),
    ]);
    const lines = directory.write('bad.jsonl', bytes);
    await expect(documentsOf(lines)).rejects.toEqual(
      foretokenError('INVALID_DATA', lines, '0xff', 'offset 25'),
    );
    expect(bytes.indexOf(0xff)).toBe(25);
    const cut = directory.write('cut.txt', Buffer.from('ab€').subarray(0, -1));
    await expect(documentsOf(cut)).rejects.toEqual(foretokenError('INVALID_DATA', cut, '0xe2', 'offset 2'));
  });

  it.each<[string, string[]]>([
    ['{"text": "a"}\n{"body": "b", "id": 3}', [':2', 'field "text" is missing', 'body, id']],
    ['\n{"text": 3}', [':2', 'field "text" is not a string']],
    ['{"text": null}', [':1', 'field "text" is not a string']],
    ['{"text": "a"}\n\n{"text": "b"', [':3', 'not JSON']],
    ['["text"]', [':1', 'not a JSON object']],
    ['{"a": 1}', [':1', 'field "text" is missing']],
  ])('of the lines %j are refused with the line', async (lines, parts) => {
    const path = directory.write('bad.jsonl', lines);
    await expect(documentsOf(path)).rejects.toEqual(
      foretokenError('INVALID_DATA', ...parts.map((part) => (part.startsWith(':') ? path + part : part))),
    );
  });

  it('do not come from the prototype of an object', async () => {
    const path = directory.write('p.jsonl', '{"text": "a"}');
    await expect(documentsOf(path, 'toString')).rejects.toEqual(foretokenError('INVALID_DATA', `${path}:1`));
  });

  it('of a file that cannot be read are refused with its name', async () => {
    for (const name of ['none.txt', 'none.jsonl']) {
      const path = directory.at(name);
      await expect(documentsOf(path)).rejects.toEqual(foretokenError('FILE_ACCESS', path, 'no such file'));
    }
    mkdirSync(directory.at('d.jsonl'));
    await expect(documentsOf(directory.at('d.jsonl'))).rejects.toEqual(
      foretokenError('FILE_ACCESS', 'd.jsonl'),
    );
    if (process.getuid?.() === 0) return; // root may read everything
    chmodSync(directory.write('secret.txt', 'x'), 0);
    await expect(documentsOf(directory.at('secret.txt'))).rejects.toEqual(
      foretokenError('FILE_ACCESS', 'secret.txt', 'permission denied'),
    );
  });
});
