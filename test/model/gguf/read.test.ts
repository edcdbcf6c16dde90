import { closeSync, openSync, ftruncateSync } from 'node:fs';
import { GgufFile } from '../../../lib/model/gguf/read';
import { foretokenError } from '../../support/errors';
import { handmadeGguf, type HandFile, type HandTensor } from '../../support/gguf';
import { TemporaryDirectory } from '../../support/temporary';

const directory = new TemporaryDirectory();

async function withFile<T>(file: HandFile, use: (file: GgufFile) => T | Promise<T>): Promise<T> {
  const opened = await GgufFile.open(directory.write('a.gguf', handmadeGguf(file)));
  try {
    return await use(opened);
  } finally {
    await opened.close();
  }
}

const open = (file: HandFile) => withFile(file, () => undefined);

const tensor = (some: Partial<HandTensor>): HandTensor => ({
  name: 'a',
  dims: [8, 2],
  type: 0,
  offset: 0,
  ...some,
});

describe('metadata', () => {
  it('come in every type, 64-bit integers exactly', async () => {
    const metadata = await withFile(
      {
        metadata: {
          u8: { type: 'uint8', value: 255 },
          i8: { type: 'int8', value: -128 },
          u16: { type: 'uint16', value: 65535 },
          i16: { type: 'int16', value: -32768 },
          u32: { type: 'uint32', value: 4294967295 },
          i32: { type: 'int32', value: -2147483648 },
          f32: { type: 'float32', value: 0.5 },
          f64: { type: 'float64', value: 0.1 },
          yes: { type: 'bool', value: true },
          no: { type: 'bool', value: false },
          text: { type: 'string', value: 'ein Wört\ufeff' },
          u64: { type: 'uint64', value: 2n ** 53n - 1n },
          large: { type: 'uint64', value: 2n ** 64n - 1n },
          i64: { type: 'int64', value: -(2n ** 60n) },
          texts: { type: 'array', of: 'string', value: ['a', '', '▁b'] },
          numbers: { type: 'array', of: 'float32', value: [1.5, -2] },
          flags: { type: 'array', of: 'bool', value: [true, false] },
          none: { type: 'array', of: 'string', value: [] },
        },
      },
      (file) => Object.fromEntries(file.metadata),
    );
    expect(metadata).toEqual({
      u8: 255,
      i8: -128,
      u16: 65535,
      i16: -32768,
      u32: 4294967295,
      i32: -2147483648,
      f32: 0.5,
      f64: 0.1,
      yes: true,
      no: false,
      text: 'ein Wört\ufeff',
      u64: 2 ** 53 - 1,
      large: 2n ** 64n - 1n,
      i64: -(2n ** 60n),
      texts: ['a', '', '▁b'],
      numbers: Float32Array.of(1.5, -2),
      flags: Uint8Array.of(1, 0),
      none: [],
    });
  });

  it('may be longer than what is read first', async () => {
    const tokens = Array.from({ length: 400_000 }, (_, i) => `a token with the number ${i}`);
    const read = await withFile(
      { metadata: { tokens: { type: 'array', of: 'string', value: tokens } } },
      (file) => file.metadata.get('tokens'),
    );
    expect(read).toEqual(tokens);
  });
});

describe('tensors', () => {
  it('have their sizes in the order of rows first, and their bytes', async () => {
    const data = Uint8Array.from({ length: 128 + 34 }, (_, i) => i);
    const tensors = [
      tensor({ name: 'b', dims: [32], type: 8, offset: 128 }),
      tensor({ name: 'a', dims: [8, 4] }),
    ];
    await withFile({ tensors, data }, async (file) => {
      expect(Object.fromEntries(file.tensors)).toEqual({
        b: { type: 'Q8_0', shape: [32], begin: 128, end: 162 },
        a: { type: 'F32', shape: [4, 8], begin: 0, end: 128 },
      });
      const bytes = new Uint8Array(4);
      await file.readBytes('b', bytes, 2);
      expect(bytes).toEqual(Uint8Array.of(130, 131, 132, 133));
    });
  });

  it('follow the alignment that the metadata give', async () => {
    const file = { metadata: { 'general.alignment': { type: 'uint32', value: 64 } as const }, alignment: 64 };
    const data = new Uint8Array(128).fill(3);
    await withFile({ ...file, tensors: [tensor({ dims: [4], offset: 64 })], data }, async (opened) => {
      const bytes = new Uint8Array(16);
      await opened.readBytes('a', bytes, 0);
      expect(bytes).toEqual(new Uint8Array(16).fill(3));
    });
    const unaligned = open({ ...file, tensors: [tensor({ dims: [4], offset: 32 })], data });
    await expect(unaligned).rejects.toThrow(
      foretokenError('CORRUPT_FILE', 'a.gguf', '"a"', 'offset 32', '64'),
    );
  });

  it('may be without bytes', async () => {
    const tensors = [tensor({ dims: [0, 4] }), tensor({ name: 'b', dims: [], offset: 0 })];
    await withFile({ tensors, data: new Uint8Array(4) }, (file) => {
      expect(file.tensors.get('a')).toMatchObject({ shape: [4, 0], begin: 0, end: 0 });
      expect(file.tensors.get('b')).toMatchObject({ shape: [], end: 4 });
    });
  });

  it('that became shorter while the file was open are refused', async () => {
    await withFile({ tensors: [tensor({})], data: new Uint8Array(64) }, async (file) => {
      const descriptor = openSync(directory.at('a.gguf'), 'r+');
      ftruncateSync(descriptor, 80);
      closeSync(descriptor);
      const read = file.readBytes('a', new Uint8Array(64), 0);
      await expect(read).rejects.toThrow(foretokenError('CORRUPT_FILE', '"a"', 'shorter'));
    });
  });
});

describe('a damaged file', () => {
  const data = new Uint8Array(64);
  const refused: [string, HandFile, string[]][] = [
    ['another magic', { magic: 'GGML' }, ['not a GGUF file']],
    ['more tensors than any model', { tensorCount: 2n ** 40n }, ['1099511627776 tensors']],
    ['more metadata than any model', { entryCount: 2n ** 63n }, ['metadata entries']],
    ['an announced entry that is not there', { entryCount: 1 }, ['truncated']],
    [
      'an announced tensor that is not there',
      { tensors: [tensor({})], tensorCount: 2, data: Buffer.alloc(0) },
      [''],
    ],
    [
      'a key that occurs twice',
      { metadata: { k: { type: 'bool', value: true } }, more: [['k', { type: 'bool', value: true }]] },
      ['"k"', 'twice'],
    ],
    [
      'an alignment of zero',
      { metadata: { 'general.alignment': { type: 'uint32', value: 0 } } },
      ['power of two'],
    ],
    [
      'an alignment of three',
      { metadata: { 'general.alignment': { type: 'uint32', value: 3 } } },
      ['power of two'],
    ],
    [
      'a tensor behind the end',
      { tensors: [tensor({ offset: 32 })], data },
      ['"a"', 'byte 96', '64 bytes', 'truncated'],
    ],
    ['an enormous offset', { tensors: [tensor({ offset: 2n ** 64n - 32n })], data }, ['"a"', 'truncated']],
    ['enormous sizes', { tensors: [tensor({ dims: [2n ** 40n, 2n ** 40n] })], data }, ['"a"', 'too large']],
    ['a size of all ones', { tensors: [tensor({ dims: [2n ** 64n - 1n] })], data }, ['"a"', 'too large']],
    ['too many dimensions', { tensors: [tensor({ dims: [1, 1, 1, 1, 1] })], data }, ['"a"', '5 dimensions']],
    [
      'an offset that is not aligned',
      { tensors: [tensor({ dims: [2], offset: 4 })], data },
      ['"a"', 'offset 4', '32'],
    ],
    ['half a block', { tensors: [tensor({ dims: [48], type: 8 })], data }, ['"a"', '48', 'Q8_0', '32']],
    [
      'overlapping tensors',
      { tensors: [tensor({ dims: [12] }), tensor({ name: 'b', dims: [4], offset: 32 })], data },
      ['"b"', 'overlaps', '"a"'],
    ],
    [
      'overlap behind a tensor without bytes',
      {
        tensors: [
          tensor({ dims: [16] }),
          tensor({ name: 'b', dims: [0], offset: 32 }),
          tensor({ name: 'c', dims: [4], offset: 32 }),
        ],
        data,
      },
      ['"c"', 'overlaps', '"a"'],
    ],
    [
      'a name that occurs twice',
      { tensors: [tensor({ dims: [4] }), tensor({ dims: [4], offset: 32 })], data },
      ['"a"', 'twice'],
    ],
  ];
  it.each(refused)('with %s is refused', async (_, file, parts) => {
    await expect(open(file)).rejects.toThrow(foretokenError('CORRUPT_FILE', 'a.gguf', ...parts));
  });

  it.each([
    ['version 1', { version: 1 }, 'version 1'],
    ['the other byte order', { version: 0x03000000 }, 'big-endian'],
    ['a type that is not read', { tensors: [tensor({ dims: [256], type: 10 })], data }, 'Q2_K'],
    ['a type without a name', { tensors: [tensor({ type: 99 })], data }, 'number 99'],
  ])('of %s is not supported', async (_, file, part) => {
    await expect(open(file)).rejects.toThrow(foretokenError('UNSUPPORTED', 'a.gguf', part));
  });

  it('is refused wherever it is cut off', async () => {
    const whole = handmadeGguf({
      metadata: {
        name: { type: 'string', value: 'x' },
        list: { type: 'array', of: 'string', value: ['a', 'b'] },
        numbers: { type: 'array', of: 'uint32', value: [1, 2] },
      },
      tensors: [tensor({})],
      data,
    });
    for (let length = 0; length < whole.length; length++) {
      const path = directory.write('cut.gguf', whole.subarray(0, length));
      await expect(GgufFile.open(path)).rejects.toThrow(foretokenError('CORRUPT_FILE', 'cut.gguf'));
    }
  });

  it('is refused for counts and lengths that no file has, without allocating them', async () => {
    const whole = handmadeGguf({ metadata: { k: { type: 'array', of: 'string', value: ['a'] } } });
    const at = whole.length - Buffer.from('a').length;
    const count = Buffer.from(whole).lastIndexOf(
      Buffer.from([1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]),
    );
    expect(count).toBeGreaterThan(0);
    expect(count + 16).toBeLessThanOrEqual(at);
    for (const place of [count, count + 8]) {
      const damaged = whole.slice();
      damaged.fill(255, place, place + 8);
      const opened = GgufFile.open(directory.write('huge.gguf', damaged));
      await expect(opened).rejects.toThrow(foretokenError('CORRUPT_FILE', 'huge.gguf', 'truncated'));
    }
  });

  it('with text that is not UTF-8 is refused by the key', async () => {
    const whole = Buffer.from(handmadeGguf({ metadata: { name: { type: 'string', value: 'xyz' } } }));
    whole[whole.indexOf('xyz')] = 0xff;
    const opened = GgufFile.open(directory.write('text.gguf', new Uint8Array(whole)));
    await expect(opened).rejects.toThrow(foretokenError('CORRUPT_FILE', 'metadata "name"', 'UTF-8'));
  });

  it('with arrays of arrays is refused', async () => {
    const whole = Buffer.from(
      handmadeGguf({ metadata: { list: { type: 'array', of: 'uint32', value: [] } } }),
    );
    whole.writeUInt32LE(9, whole.indexOf('list') + 8);
    const opened = GgufFile.open(directory.write('nested.gguf', new Uint8Array(whole)));
    await expect(opened).rejects.toThrow(foretokenError('CORRUPT_FILE', '"list"', 'arrays of arrays'));
  });

  it('that does not exist is named', async () => {
    await expect(GgufFile.open(directory.at('no.gguf'))).rejects.toThrow(
      foretokenError('FILE_ACCESS', 'no.gguf'),
    );
  });
});
