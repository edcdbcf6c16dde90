import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import promises, { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { getSystemErrorMap } from 'node:util';
import {
  fileAccessError,
  makeDirectory,
  openForReading,
  readJson,
  writeDirectoryAtomic,
  writeFileAtomic,
} from '../lib/files';
import { foretokenError } from './support/errors';
import { TemporaryDirectory } from './support/temporary';

const directory = new TemporaryDirectory();

describe('writeFileAtomic', () => {
  it('writes text and bytes, makes the directory and leaves no other file', async () => {
    await writeFileAtomic(directory.at('a/b/text'), 'héllo');
    await writeFileAtomic(directory.at('a/b/bytes'), Uint8Array.of(0, 255));
    expect(readFileSync(directory.at('a/b/text'), 'utf8')).toBe('héllo');
    expect([...readFileSync(directory.at('a/b/bytes'))]).toEqual([0, 255]);
    expect(readdirSync(directory.at('a/b'))).toEqual(['bytes', 'text']);
  });

  it('keeps the old content and leaves no other file if writing fails', async () => {
    const path = directory.write('file', 'old');
    const failing = writeFileAtomic(path, async (handle) => {
      await handle.write('half of the new');
      throw new RangeError('no more');
    });
    await expect(failing).rejects.toThrow(RangeError);
    expect(readFileSync(path, 'utf8')).toBe('old');
    expect(readdirSync(directory.path)).toEqual(['file']);
  });

  it('keeps the old content until the new is complete', async () => {
    const path = directory.write('file', 'old');
    await writeFileAtomic(path, async (handle) => {
      await handle.write('new');
      expect(readFileSync(path, 'utf8')).toBe('old');
    });
    expect(readFileSync(path, 'utf8')).toBe('new');
  });

  it('names the file if the system refuses', async () => {
    const path = join(directory.write('not-a-directory', ''), 'file');
    await expect(writeFileAtomic(path, 'x')).rejects.toEqual(
      foretokenError('FILE_ACCESS', 'cannot write', path),
    );
    mkdirSync(directory.at('directory'));
    await expect(writeFileAtomic(directory.at('directory'), 'x')).rejects.toEqual(
      foretokenError('FILE_ACCESS', directory.at('directory'), 'illegal operation on a directory'),
    );
    expect(readdirSync(directory.path)).toEqual(['directory', 'not-a-directory']);
  });
});

describe('writeDirectoryAtomic', () => {
  const fill = (name: string) => (path: string) => writeFile(join(path, name), name);

  it('publishes all files at once', async () => {
    const path = directory.at('run/step-10');
    await writeDirectoryAtomic(path, async (temporary) => {
      await fill('one')(temporary);
      expect(existsSync(path)).toBe(false);
      await fill('two')(temporary);
    });
    expect(readdirSync(path)).toEqual(['one', 'two']);
    expect(readdirSync(directory.at('run'))).toEqual(['step-10']);
  });

  it('replaces a directory as a whole', async () => {
    const path = directory.at('last');
    await writeDirectoryAtomic(path, fill('old'));
    await writeDirectoryAtomic(path, fill('new'));
    expect(readdirSync(path)).toEqual(['new']);
    expect(readdirSync(directory.path)).toEqual(['last']);
  });

  it('keeps the old directory and leaves no other if filling fails', async () => {
    const path = directory.at('last');
    await writeDirectoryAtomic(path, fill('old'));
    const failing = writeDirectoryAtomic(path, async (temporary) => {
      await fill('new')(temporary);
      throw new RangeError('no more');
    });
    await expect(failing).rejects.toThrow(RangeError);
    expect(readdirSync(path)).toEqual(['old']);
    expect(readdirSync(directory.path)).toEqual(['last']);
  });
});

describe('the message of a system error', () => {
  it.each([...getSystemErrorMap()])('has the words of the system for error %d', (errno, [code, words]) => {
    const cause = Object.assign(new Error(`${code}: text for programmers, open 'x'`), { code, errno });
    expect(fileAccessError('write', 'a/b', cause)).toEqual(
      foretokenError('FILE_ACCESS', `cannot write a/b: ${words}`),
    );
  });

  it('is the message of the error if the error is not of the system', () => {
    expect(fileAccessError('read', 'a', new Error('the stream is closed')).message).toBe(
      'cannot read a: the stream is closed',
    );
  });
});

describe('makeDirectory', () => {
  it('makes directories that others make at the same time', async () => {
    for (let round = 0; round < 50; round++) {
      const path = directory.at(`${round}/b/c/d`);
      await Promise.all(Array.from({ length: 8 }, () => makeDirectory(path)));
      expect(existsSync(path)).toBe(true);
    }
  });

  it('makes a directory with its missing parents, and keeps an existing one', async () => {
    await makeDirectory(directory.at('a/b/c'));
    writeFileSync(directory.at('a/b/c/file'), '');
    await makeDirectory(directory.at('a/b/c'));
    expect(readdirSync(directory.at('a/b/c'))).toEqual(['file']);
  });

  it('reports why the system refuses', async () => {
    const file = directory.write('file', '');
    await expect(makeDirectory(join(file, 'a/b'))).rejects.toMatchObject({ code: 'ENOTDIR' });
    await expect(makeDirectory(file)).rejects.toMatchObject({ code: 'EEXIST' });
  });

  // Node's recursive mkdir would report ENOENT.
  it('reports that a file system is read-only', async () => {
    const mkdir = jest.spyOn(promises, 'mkdir');
    mkdir.mockRejectedValue(
      Object.assign(new Error('EROFS'), { code: 'EROFS', errno: -30, syscall: 'mkdir' }),
    );
    try {
      await expect(writeFileAtomic(directory.at('a/b/file'), 'x')).rejects.toEqual(
        foretokenError('FILE_ACCESS', 'cannot write', 'read-only file system'),
      );
    } finally {
      mkdir.mockRestore();
    }
  });

  // Node's recursive mkdir would never end.
  it('ends if the system refuses to make any directory', async () => {
    if (process.platform !== 'linux') return;
    await expect(makeDirectory('/proc/foretoken/a')).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describe('reading', () => {
  it('names a file that is missing, is a directory or is not JSON', async () => {
    await expect(readJson(directory.at('none.json'))).rejects.toEqual(
      foretokenError('FILE_ACCESS', `cannot read ${directory.at('none.json')}: no such file`),
    );
    await expect(openForReading(directory.path)).rejects.toEqual(
      foretokenError('FILE_ACCESS', `cannot read ${directory.path}: it is a directory`),
    );
    const path = directory.write('bad.json', '{"a": ');
    await expect(readJson(path)).rejects.toEqual(foretokenError('CORRUPT_FILE', path, 'not JSON'));
  });

  it('names a file without permission to read', async () => {
    const path = directory.write('secret', 'x');
    await chmod(path, 0);
    if (process.getuid?.() === 0) return; // root may read every file
    await expect(openForReading(path)).rejects.toEqual(
      foretokenError('FILE_ACCESS', path, 'permission denied'),
    );
  });
});
