import fc from 'fast-check';
import { chmodSync, mkdirSync, truncateSync } from 'node:fs';
import { readDocuments } from '../../../lib/train/data/documents';
import { foretokenError } from '../../support/errors';
import { TemporaryDirectory } from '../../support/temporary';

const directory = new TemporaryDirectory();

async function documentsOf(path: string, textField?: string): Promise<string[]> {
  const documents: string[] = [];
  for await (const document of readDocuments(path, textField)) documents.push(document.text);
  return documents;
}

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

  it('may be longer than the pieces in which files are read', async () => {
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

  it('that are not UTF-8 are refused, naming the byte', async () => {
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
  ])('of the lines %j are refused, naming the line', async (lines, parts) => {
    const path = directory.write('bad.jsonl', lines);
    await expect(documentsOf(path)).rejects.toEqual(
      foretokenError('INVALID_DATA', ...parts.map((part) => (part.startsWith(':') ? path + part : part))),
    );
  });

  it('are not read from the prototype of an object', async () => {
    const path = directory.write('p.jsonl', '{"text": "a"}');
    await expect(documentsOf(path, 'toString')).rejects.toEqual(foretokenError('INVALID_DATA', `${path}:1`));
  });

  it('of an unreadable file are refused, naming the file', async () => {
    for (const name of ['none.txt', 'none.jsonl']) {
      const path = directory.at(name);
      await expect(documentsOf(path)).rejects.toEqual(foretokenError('FILE_ACCESS', path, 'no such file'));
    }
    mkdirSync(directory.at('d.jsonl'));
    await expect(documentsOf(directory.at('d.jsonl'))).rejects.toEqual(
      foretokenError('FILE_ACCESS', 'd.jsonl'),
    );
    if (process.getuid?.() === 0) return; // root can read every file
    chmodSync(directory.write('secret.txt', 'x'), 0);
    await expect(documentsOf(directory.at('secret.txt'))).rejects.toEqual(
      foretokenError('FILE_ACCESS', 'secret.txt', 'permission denied'),
    );
  });
});

describe('data sets in JSON', () => {
  const names = ['d.jsonl', 'd.JSONL', 'd.ndjson', 'd.Ndjson', 'd.jsonlines', 'd.json', 'd.JSON'];

  it.each(names)('with an object on each line are documents in %s', async (name) => {
    const path = directory.write(name, '{"id": 1, "text": "a"}\n\n {"text": "b\\n"}\r\n');
    expect(await documentsOf(path)).toEqual(['a', 'b\n']);
    expect(await documentsOf(directory.write(name, '\ufeff{"text": "only"}'))).toEqual(['only']);
    const broken = directory.write(name, '{"text": "a"}\n\n{"text": "b"');
    await expect(documentsOf(broken)).rejects.toEqual(
      foretokenError('INVALID_DATA', `${broken}:3`, 'not JSON'),
    );
    const other = directory.write(name, '{"text": "a"}\n{"content": "b"}\n');
    await expect(documentsOf(other)).rejects.toEqual(
      foretokenError('INVALID_DATA', `${other}:2`, 'field "text" is missing', 'content'),
    );
  });

  it('are an array of objects in a .json file', async () => {
    const path = directory.write(
      'a.json',
      '\ufeff [\n {"text": "a]\\"", "x": [{}]},\n{"text": ""} ,{"text":"b"}]\n ',
    );
    expect(await documentsOf(path)).toEqual(['a]"', 'b']);
    expect(await documentsOf(directory.write('b.json', '[{"body": "c"}]'), 'body')).toEqual(['c']);
  });

  it.each<[string, string, string[]]>([
    [
      'an element without the field',
      '[{"text": "a"},\n\n{"content": "b"}]',
      [':3', '"text" is missing', 'content'],
    ],
    ['a field of another type', '[\n{"text": 1}]', [':2', 'field "text" is not a string']],
    ['another element', '[{"text": "a"},\n"b"]', [':2', 'not a JSON object']],
    ['a broken element', '[{"text": "a"},\n{"text": b}]', [':2', 'not JSON']],
    ['a comma at the end', '[{"text": "a"},]', [':1', 'not JSON']],
    ['no end', '[{"text": "a"},\n{"text": "b"', [':2', 'does not end', 'truncated']],
    ['something behind it', '[{"text": "a"}]\n]', [':2', 'something follows the array']],
  ])('refuse an array with %s', async (_, json, parts) => {
    const path = directory.write('a.json', json);
    await expect(documentsOf(path)).rejects.toEqual(
      foretokenError('INVALID_DATA', ...parts.map((part) => (part.startsWith(':') ? path + part : part))),
    );
  });

  it.each([
    '{"name": "x", "version": "1"}',
    '{\n  "text": {},\n  "a": [1]\n}\n',
    '// a comment\n{"a": 1}',
    '["text", {"text": "a"}]',
    '[]',
    '"text"',
    '{',
  ])('do not include %j, which is one document', async (json) => {
    expect(await documentsOf(directory.write('settings.json', json))).toEqual([json]);
  });

  it('give the same documents in every format', async () => {
    const texts = fc.array(fc.string({ unit: 'grapheme', minLength: 1 }), { minLength: 1, maxLength: 6 });
    const objects = (all: string[], extra: unknown) => all.map((text) => ({ extra, text, more: [extra] }));
    await fc.assert(
      fc.asyncProperty(texts, fc.jsonValue(), fc.nat(3), async (all, extra, indent) => {
        const lines = objects(all, extra).map((object) => JSON.stringify(object));
        const array = JSON.stringify(objects(all, extra), null, indent);
        for (const [name, content] of [
          ['d.jsonl', lines.join('\n')],
          ['d.json', lines.join('\r\n')],
          ['e.json', array],
        ] as const) {
          expect(await documentsOf(directory.write(name, content))).toEqual(all);
        }
      }),
      { numRuns: 50 },
    );
  });

  it('may be longer than the longest document', async () => {
    const text = `${'x'.repeat(99)}"`.repeat(30_000);
    const path = directory.write('long.json', JSON.stringify(Array.from({ length: 4 }, () => ({ text }))));
    expect((await documentsOf(path)).map((one) => one === text)).toEqual([true, true, true, true]);
  });

  it('refuse a document that is too long, naming file and line, before it fills the memory', async () => {
    const line = directory.write('huge.jsonl', '{"text": "a"}\n{"text": "');
    truncateSync(line, 600e6);
    await expect(documentsOf(line)).rejects.toEqual(
      foretokenError('INVALID_DATA', `${line}:2: the line has more than 128 MiB`),
    );
    const array = directory.write('huge.json', '[{"text": "a"},\n\n{"text": "');
    truncateSync(array, 600e6);
    await expect(documentsOf(array)).rejects.toEqual(
      foretokenError('INVALID_DATA', `${array}:3: the value has more than 128 MiB`),
    );
    for (const name of ['huge.txt', 'one.json']) {
      const text = directory.write(name, '{"name": "x",');
      truncateSync(text, 600e6);
      await expect(documentsOf(text)).rejects.toEqual(
        foretokenError('INVALID_DATA', text, 'at most 512 MiB', '573'),
      );
    }
  });
});
