import fc from 'fast-check';
import { isUtf8 } from 'node:buffer';
import { decodeUtf8, firstInvalidUtf8 } from '../lib/utf8';
import { foretokenError } from './support/errors';

describe('firstInvalidUtf8', () => {
  const bytes = fc.oneof(
    fc.constantFrom(0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf),
    fc.constantFrom(0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff),
  );

  it('returns -1 exactly for bytes that Node accepts as UTF-8', () => {
    fc.assert(
      fc.property(fc.array(bytes, { maxLength: 6 }), (array) => {
        const data = Uint8Array.from(array);
        expect(firstInvalidUtf8(data) < 0).toBe(isUtf8(data));
      }),
      { numRuns: 20_000 },
    );
  });

  it('returns the end of the longest valid beginning', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary' }),
        fc.array(bytes, { minLength: 1, maxLength: 4 }),
        (text, tail) => {
          const data = Buffer.concat([Buffer.from(text), Uint8Array.from(tail)]);
          const index = firstInvalidUtf8(data);
          if (index < 0) return;
          const beginnings = Array.from({ length: data.length + 1 }, (_, end) => end);
          expect(index).toBe(Math.max(...beginnings.filter((end) => isUtf8(data.subarray(0, end)))));
        },
      ),
    );
  });
});

describe('decodeUtf8', () => {
  it('returns every text, without the byte order mark at its beginning', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(decodeUtf8('x', Buffer.from(`\ufeff${text}`))).toBe(text);
        expect(decodeUtf8('x', Buffer.from(`\ufeff${text}`), { offset: 5 })).toBe(`\ufeff${text}`);
      }),
    );
  });

  it('names the source, the byte and its offset, and replaces nothing', () => {
    const bytes = Buffer.from('caf\xe9 au lait', 'latin1');
    expect(() => decodeUtf8('menu.txt', bytes)).toThrow(
      foretokenError('INVALID_DATA', 'menu.txt: not UTF-8: byte 0xe9 at offset 3'),
    );
    expect(() => decodeUtf8('a.json', bytes, { offset: 100, code: 'CORRUPT_FILE' })).toThrow(
      foretokenError('CORRUPT_FILE', 'a.json', 'offset 103'),
    );
  });
});
