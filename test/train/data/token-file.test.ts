import fc from 'fast-check';
import { readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { TokenFile, writeTokenFile } from '../../../lib/train/data';
import { foretokenError } from '../../support/errors';
import { TemporaryDirectory } from '../../support/temporary';

const directory = new TemporaryDirectory();

async function written(vocabSize: number, documents: number[][]): Promise<TokenFile> {
  const path = directory.at('corpus.tokens');
  await writeTokenFile(
    path,
    vocabSize,
    documents.map((tokens) => Int32Array.from(tokens)),
  );
  return TokenFile.open(path);
}

describe('a token file', () => {
  it('returns every token, document and range, for small and large vocabularies', async () => {
    const documents = (vocabSize: number) =>
      fc.array(fc.array(fc.nat(vocabSize - 1), { maxLength: 9 }), { maxLength: 9 });
    const file = fc
      .constantFrom(2, 257, 65536, 65537, 2 ** 31)
      .chain((vocabSize) => fc.tuple(fc.constant(vocabSize), documents(vocabSize)));
    await fc.assert(
      fc.asyncProperty(file, fc.nat(), fc.nat(), async ([vocabSize, all], from, size) => {
        const tokens = all.flat();
        const whole = all.filter((document) => document.length > 0);
        const read = await written(vocabSize, all);
        try {
          expect([read.vocabSize, read.length, read.documentCount]).toEqual([
            vocabSize,
            tokens.length,
            whole.length,
          ]);
          const start = from % (tokens.length + 1);
          const count = size % (tokens.length - start + 1);
          const out = new Int32Array(count + 2).fill(-7);
          read.read(start, count, out.subarray(1));
          expect([...out.subarray(1, count + 1)]).toEqual(tokens.slice(start, start + count));
          expect(out[0]).toBe(-7);
          let position = 0;
          whole.forEach((document, i) => {
            expect(read.documentStart(i)).toBe(position);
            document.forEach(() => expect(read.documentAt(position++)).toBe(i));
          });
          expect(read.documentStart(whole.length)).toBe(tokens.length);
        } finally {
          await read.close();
        }
      }),
      { numRuns: 60 },
    );
  });

  it('takes 2 bytes for each token if ids fit, else 4', async () => {
    const size = async (vocabSize: number) => {
      const file = await written(vocabSize, [[0, 1, 2, 3]]);
      await file.close();
      return statSync(file.path).size;
    };
    expect(await size(65536)).toBe(64 + 4 * 2 + 8);
    expect(await size(65537)).toBe(64 + 4 * 4 + 8);
  });

  it('is written document by document, and published after the last one', async () => {
    const path = directory.at('late.tokens');
    async function* documents() {
      yield Int32Array.of(1, 2);
      await new Promise((resolve) => setImmediate(resolve));
      expect(readdirSync(directory.path)).not.toContain('late.tokens');
      yield Int32Array.of(3);
    }
    await writeTokenFile(path, 4, documents());
    const file = await TokenFile.open(path);
    expect([file.length, file.documentCount]).toEqual([3, 2]);
    await file.close();
  });

  it('is checked beyond the first chunk', async () => {
    const documents = Array.from({ length: 3 }, (_, i) =>
      Array.from({ length: 1_500_000 }, (_, j) => (i + j) % 65536),
    );
    const file = await written(65536, documents);
    const out = new Int32Array(2);
    file.read(2_999_999, 2, out);
    expect([...out]).toEqual([(1 + 1_499_999) % 65536, 2]);
    await file.close();
    const bytes = readFileSync(file.path);
    bytes[bytes.length - 100]! ^= 1;
    writeFileSync(file.path, bytes);
    await expect(TokenFile.open(file.path)).rejects.toEqual(foretokenError('CORRUPT_FILE', 'checksum'));
  });

  it('refuses ids outside the vocabulary, and leaves no file', async () => {
    for (const [id, vocabSize] of [
      [5, 5],
      [-1, 5],
      [65536, 65536],
    ] as const) {
      await expect(written(vocabSize, [[0], [1, id]])).rejects.toEqual(
        foretokenError(
          'INDEX_OUT_OF_RANGE',
          `token ${id} at 1 of document 1`,
          `a vocabulary of ${vocabSize}`,
        ),
      );
    }
    expect(readdirSync(directory.path)).toEqual([]);
  });

  it('refuses to read beyond its end', async () => {
    const file = await written(9, [[1, 2, 3]]);
    const out = new Int32Array(8);
    const outside = (problem: string) => foretokenError('INDEX_OUT_OF_RANGE', file.path, problem);
    expect(() => file.read(-1, 1, out)).toThrow(outside('start must be an integer from 0 to 3, but is -1'));
    expect(() => file.read(2, 2, out)).toThrow(outside('count must be an integer from 0 to 1, but is 2'));
    expect(() => file.read(0, 3, out.subarray(6))).toThrow(outside('from 0 to 2, but is 3'));
    expect(() => file.read(0.5, 1, out)).toThrow(outside('0.5'));
    expect(() => file.documentStart(2)).toThrow(outside('document'));
    expect(() => file.documentAt(3)).toThrow(outside('position'));
    await file.close();
    expect(() => file.read(0, 1, out)).toThrow(foretokenError('INVALID_HANDLE', file.path, 'closed'));
  });
});

describe('a damaged token file', () => {
  const bytes = async () => {
    const file = await written(300, [
      [1, 299],
      [3, 4, 5],
    ]);
    await file.close();
    return { path: file.path, whole: readFileSync(file.path) };
  };

  it('is refused for a change of any bit', async () => {
    const { path, whole } = await bytes();
    for (let bit = 0; bit < whole.length * 8; bit += 1) {
      const changed = Buffer.from(whole);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      writeFileSync(path, changed);
      await expect(TokenFile.open(path)).rejects.toEqual(foretokenError('CORRUPT_FILE', path));
    }
  });

  it('is refused if truncated anywhere', async () => {
    const { path, whole } = await bytes();
    for (let length = 0; length < whole.length; length += 1) {
      writeFileSync(path, whole.subarray(0, length));
      await expect(TokenFile.open(path)).rejects.toEqual(foretokenError('CORRUPT_FILE', path));
    }
    writeFileSync(path, Buffer.concat([whole, Buffer.alloc(1)]));
    await expect(TokenFile.open(path)).rejects.toEqual(foretokenError('CORRUPT_FILE', path));
  });

  it('is described in the message', async () => {
    const { path, whole } = await bytes();
    writeFileSync(path, 'some text that is not made of tokens, and is long enough to be a header');
    await expect(TokenFile.open(path)).rejects.toEqual(foretokenError('CORRUPT_FILE', 'not a token file'));
    writeFileSync(path, whole.subarray(0, -8));
    await expect(TokenFile.open(path)).rejects.toEqual(
      foretokenError('CORRUPT_FILE', 'take 90 bytes, but it has 82'),
    );
    whole.writeUInt32LE(2, 8);
    writeFileSync(path, whole);
    await expect(TokenFile.open(path)).rejects.toEqual(
      foretokenError('CORRUPT_FILE', 'version 2', 'reads version 1'),
    );
    await expect(TokenFile.open(directory.at('none'))).rejects.toEqual(foretokenError('FILE_ACCESS', 'none'));
  });

  it('is noticed if it becomes shorter while open', async () => {
    const { path, whole } = await bytes();
    const file = await TokenFile.open(path);
    writeFileSync(path, whole.subarray(0, 66));
    expect(() => file.read(0, 5, new Int32Array(5))).toThrow(foretokenError('CORRUPT_FILE', path, 'shorter'));
    await file.close();
  });
});
