import fc from 'fast-check';
import { NO_TARGET } from '../../../lib/tensor/ops/loss/no-target';
import { PackedRows, TokenFile, splitHeldOut, writeTokenFile } from '../../../lib/train/data';
import { foretokenError } from '../../support/errors';
import { TemporaryDirectory } from '../../support/temporary';

const directory = new TemporaryDirectory();

async function withFile(documents: number[][], use: (file: TokenFile) => void): Promise<void> {
  const path = directory.at('corpus.tokens');
  await writeTokenFile(
    path,
    1000,
    documents.map((tokens) => Int32Array.from(tokens)),
  );
  const file = await TokenFile.open(path);
  try {
    use(file);
  } finally {
    await file.close();
  }
}

/** The expected rows, computed position by position. */
function oracle(
  documents: number[][],
  rowLength: number,
  heads: number,
  range: { start: number; end: number },
) {
  const stream = documents.flatMap((document, i) => document.map((token) => ({ token, document: i })));
  const rows = [];
  for (let first = range.start; first + rowLength < range.end; first += rowLength) {
    const places = Array.from({ length: rowLength }, (_, t) => first + t);
    rows.push({
      tokens: places.map((place) => stream[place]!.token),
      starts: places.map((place) =>
        places.findIndex((other) => stream[other]!.document === stream[place]!.document),
      ),
      targets: Array.from({ length: heads }, (_, head) =>
        places.map((place) => {
          const next = place + head + 1;
          if (next >= range.end || stream[next]!.document !== stream[place]!.document) return NO_TARGET;
          return stream[next]!.token;
        }),
      ),
    });
  }
  return rows;
}

describe('packed rows', () => {
  it('have the next tokens of the same document as targets', async () => {
    await withFile([[1, 2, 3, 4, 5], [6], [7, 8, 9, 10]], (file) => {
      const rows = new PackedRows(file, { rowLength: 4, heads: 2 });
      expect(rows.length).toBe(2);
      const { tokens, starts, targets } = rows.batch([1, 0]);
      expect([...tokens]).toEqual([5, 6, 7, 8, 1, 2, 3, 4]);
      expect([...starts]).toEqual([0, 1, 2, 2, 0, 0, 0, 0]);
      const no = NO_TARGET;
      expect(targets.map((target) => [...target])).toEqual([
        [no, no, 8, 9, 2, 3, 4, 5],
        [no, no, 9, 10, 3, 4, 5, no],
      ]);
    });
  });

  it('equal the oracle for any documents, row length, heads and range', async () => {
    const documents = fc.array(fc.array(fc.nat(999), { minLength: 1, maxLength: 12 }), {
      minLength: 1,
      maxLength: 8,
    });
    await fc.assert(
      fc.asyncProperty(
        documents,
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 1, max: 5 }),
        fc.nat(),
        fc.nat(),
        async (all, rowLength, heads, from, size) => {
          const length = all.flat().length;
          const start = from % length;
          const range = { start, end: start + 1 + (size % (length - start)) };
          const expected = oracle(all, rowLength, heads, range);
          await withFile(all, (file) => {
            if (expected.length === 0) {
              expect(() => new PackedRows(file, { rowLength, heads, range })).toThrow(
                foretokenError('INVALID_DATA'),
              );
              return;
            }
            const rows = new PackedRows(file, { rowLength, heads, range });
            expect(rows.length).toBe(expected.length);
            const { tokens, starts, targets } = rows.batch(expected.map((_, row) => row));
            expect([...tokens]).toEqual(expected.flatMap((row) => row.tokens));
            expect([...starts]).toEqual(expected.flatMap((row) => row.starts));
            expect(targets.map((target) => [...target])).toEqual(
              Array.from({ length: heads }, (_, head) => expected.flatMap((row) => row.targets[head]!)),
            );
          });
        },
      ),
      { numRuns: 150 },
    );
  });

  it('use every token of one document except the first once as a target of head 1', async () => {
    const document = Array.from({ length: 41 }, (_, i) => i);
    await withFile([document], (file) => {
      const rows = new PackedRows(file, { rowLength: 8, heads: 1 });
      const all = rows.batch([0, 1, 2, 3, 4]);
      expect([...all.targets[0]!]).toEqual(document.slice(1));
    });
  });

  it('need a row and the token after it', async () => {
    await withFile([[1, 2, 3, 4]], (file) => {
      expect(new PackedRows(file, { rowLength: 3, heads: 9 }).length).toBe(1);
      expect(() => new PackedRows(file, { rowLength: 4, heads: 1 })).toThrow(
        foretokenError('INVALID_DATA', file.path, 'there are 4 tokens, but a row of 4 needs 5'),
      );
      expect(() => new PackedRows(file, { rowLength: 2, heads: 1, range: { start: 2, end: 4 } })).toThrow(
        foretokenError('INVALID_DATA', '2 tokens in the part from 2 to 4'),
      );
      const empty = { start: 4, end: 4 };
      expect(() => new PackedRows(file, { rowLength: 2, heads: 1, range: empty })).toThrow(
        foretokenError('INVALID_DATA'),
      );
    });
  });

  it('refuse invalid options', async () => {
    await withFile([[1, 2, 3, 4]], (file) => {
      const invalid = (problem: string) => foretokenError('INVALID_ARGUMENT', problem);
      expect(() => new PackedRows(file, { rowLength: 0, heads: 1 })).toThrow(invalid('rowLength'));
      expect(() => new PackedRows(file, { rowLength: 1, heads: 1.5 })).toThrow(invalid('heads'));
      expect(() => new PackedRows(file, { rowLength: 1, heads: 1, range: { start: 0, end: 5 } })).toThrow(
        invalid('0 to 5'),
      );
      const rows = new PackedRows(file, { rowLength: 1, heads: 1 });
      for (const row of [-1, 3, 0.5]) {
        expect(() => rows.batch([row])).toThrow(
          foretokenError('INDEX_OUT_OF_RANGE', `from 0 to 2, but is ${row}`),
        );
      }
    });
  });
});

describe('the held-out part', () => {
  it('is the end of the stream; the rest is for training', () => {
    expect(splitHeldOut(1000, 0.1)).toEqual({
      training: { start: 0, end: 900 },
      heldOut: { start: 900, end: 1000 },
    });
  });

  it('is a fraction between 0 and 1', () => {
    for (const fraction of [0, 1, -0.1, NaN]) {
      expect(() => splitHeldOut(10, fraction)).toThrow(foretokenError('INVALID_ARGUMENT', String(fraction)));
    }
  });

  it('is never a target of the training part', async () => {
    await withFile([Array.from({ length: 100 }, (_, i) => i)], (file) => {
      const { training, heldOut } = splitHeldOut(100, 0.25);
      const rows = new PackedRows(file, { rowLength: 10, heads: 8, range: training });
      const { targets } = rows.batch(Array.from({ length: rows.length }, (_, row) => row));
      expect(Math.max(...targets.flatMap((target) => [...target]))).toBe(heldOut.start - 1);
    });
  });
});
