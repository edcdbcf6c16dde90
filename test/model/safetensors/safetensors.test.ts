import fc from 'fast-check';
import { readFileSync, writeFileSync, readdirSync } from 'node:fs';
import {
  readSafetensors,
  writeSafetensors,
  type NamedTensor,
  type SafetensorsFile,
} from '../../../lib/model/safetensors';
import { ARRAYS, type SafetensorsDType, type TensorData } from '../../../lib/model/safetensors/format';
import { foretokenError } from '../../support/errors';
import { TemporaryDirectory } from '../../support/temporary';

const directory = new TemporaryDirectory();

const bytesOf = (data: TensorData) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);

async function withFile<T>(path: string, use: (file: SafetensorsFile) => T | Promise<T>): Promise<T> {
  const file = await readSafetensors(path);
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

/** Writes a file by hand: the given header, then the data. */
function handmade(header: unknown, dataBytes: number, name = 'hand.safetensors'): string {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return directory.write(name, Buffer.concat([length, json, Buffer.alloc(dataBytes, 1)]));
}

const anyTensor = fc
  .record({
    name: fc.string({ minLength: 1 }).filter((name) => name !== '__metadata__'),
    dtype: fc.constantFrom(...(Object.keys(ARRAYS) as SafetensorsDType[])),
    shape: fc.array(fc.nat(4), { maxLength: 3 }),
    seed: fc.nat(255),
  })
  .map(({ name, dtype, shape, seed }): NamedTensor & { data: TensorData } => {
    const data = new ARRAYS[dtype](shape.reduce((a, b) => a * b, 1));
    bytesOf(data).forEach((_, i, bytes) => (bytes[i] = (seed + 31 * i) & 255));
    return { name, dtype, shape, data };
  });

describe('writing and reading back', () => {
  it('returns every tensor of every type bit for bit, and the metadata', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(anyTensor, { selector: ({ name }) => name, maxLength: 6 }),
        fc.dictionary(fc.string(), fc.string(), { maxKeys: 3 }),
        async (tensors, metadata) => {
          await writeSafetensors(directory.at('t.safetensors'), tensors, metadata);
          await withFile(directory.at('t.safetensors'), async (file) => {
            expect([...file.names].sort()).toEqual(tensors.map(({ name }) => name).sort());
            expect({ ...file.metadata }).toEqual({ ...metadata });
            for (const { name, dtype, shape, data } of tensors) {
              expect(file.info(name)).toEqual({ dtype, shape });
              const read = await file.read(name);
              expect(read[Symbol.toStringTag]).toBe(ARRAYS[dtype].name);
              expect(bytesOf(read).equals(bytesOf(data))).toBe(true);
            }
          });
        },
      ),
      { numRuns: 60 },
    );
  });

  it('writes the same file for the same tensors in any order', async () => {
    const tensors: NamedTensor[] = [
      { name: 'b', dtype: 'BF16', shape: [3], data: Uint16Array.of(1, 2, 3) },
      { name: 'c', dtype: 'F32', shape: [1], data: Float32Array.of(1.5) },
      { name: 'a', dtype: 'F32', shape: [1, 2], data: Float32Array.of(2, NaN) },
    ];
    await writeSafetensors(directory.at('one'), tensors);
    await writeSafetensors(directory.at('two'), tensors.toReversed());
    expect(readFileSync(directory.at('one')).equals(readFileSync(directory.at('two')))).toBe(true);
  });

  it('calls functions for data one tensor at a time, and writes parts of larger arrays', async () => {
    let made = 0;
    const lazy = (value: number) => async () => {
      made += 1;
      const mine = made;
      await new Promise((resolve) => setImmediate(resolve));
      expect(made).toBe(mine);
      return new Float32Array([0, value, 0]).subarray(1, 2);
    };
    const path = directory.at('lazy.safetensors');
    await writeSafetensors(path, [
      { name: 'a', dtype: 'F32', shape: [1], data: lazy(7) },
      { name: 'b', dtype: 'F32', shape: [], data: lazy(8) },
    ]);
    await withFile(path, async (file) => {
      expect([...(await file.read('a')), ...(await file.read('b'))]).toEqual([7, 8]);
    });
  });

  it('follows the format: length, JSON, aligned data', async () => {
    const path = directory.at('plain.safetensors');
    await writeSafetensors(path, [
      { name: 'a half', dtype: 'F16', shape: [1], data: Uint16Array.of(0x3c00) },
      { name: 'full', dtype: 'F32', shape: [2], data: Float32Array.of(1, 2) },
    ]);
    const bytes = readFileSync(path);
    const length = Number(bytes.readBigUInt64LE(0));
    expect(length % 8).toBe(0);
    const header = JSON.parse(bytes.toString('utf8', 8, 8 + length)) as Record<string, unknown>;
    expect(header).toMatchObject({
      full: { dtype: 'F32', shape: [2], data_offsets: [0, 8] },
      'a half': { dtype: 'F16', shape: [1], data_offsets: [8, 10] },
    });
    expect(bytes.readFloatLE(8 + length + 4)).toBe(2);
    expect(bytes.length).toBe(8 + length + 10);
  });

  it('reads tensors of several pieces', async () => {
    const data = Uint8Array.from({ length: (17 << 20) + 3 }, (_, i) => i % 251);
    const path = directory.at('large.safetensors');
    await writeSafetensors(path, [{ name: 'x', dtype: 'U8', shape: [data.length], data }]);
    await withFile(path, async (file) => {
      expect(Buffer.compare(bytesOf(await file.read('x')), data)).toBe(0);
    });
  });

  it('keeps the old file if a tensor cannot be made', async () => {
    const path = directory.write('old.safetensors', 'old');
    const data = () => Promise.reject(new RangeError('device lost'));
    await expect(writeSafetensors(path, [{ name: 'x', dtype: 'U8', shape: [1], data }])).rejects.toThrow(
      RangeError,
    );
    expect(readFileSync(path, 'utf8')).toBe('old');
    expect(readdirSync(directory.path)).toEqual(['old.safetensors']);
  });

  it.each<[string, NamedTensor[], string]>([
    ['two tensors with one name', [u8('x', [1], 1), u8('x', [1], 1)], 'twice'],
    ['the name __metadata__', [u8('__metadata__', [1], 1)], 'not allowed'],
    ['an empty name', [u8('', [1], 1)], 'not allowed'],
    ['too little data', [u8('x', [2, 2], 3)], 'shape [2, 2] has 4 elements, given 3'],
    ['a negative size', [u8('x', [-1, -1], 1)], 'shape [-1,-1]'],
    [
      'an array of another type',
      [{ ...u8('x', [1], 1), dtype: 'F32' }],
      'F32 needs a Float32Array, given Uint8Array',
    ],
    ['an unknown dtype', [{ ...u8('x', [1], 1), dtype: 'F3' as 'F32' }], 'unknown dtype F3'],
  ])('refuses %s', async (_, tensors, problem) => {
    const path = directory.at('x.safetensors');
    await expect(writeSafetensors(path, tensors)).rejects.toEqual(
      foretokenError('INVALID_ARGUMENT', path, problem),
    );
    expect(readdirSync(directory.path)).toEqual([]);
  });

  function u8(name: string, shape: number[], length: number): NamedTensor {
    return { name, dtype: 'U8', shape, data: new Uint8Array(length) };
  }
});

describe('a missing tensor or file', () => {
  it('names the file and the tensor', async () => {
    const path = handmade({ x: { dtype: 'U8', shape: [1], data_offsets: [0, 1] } }, 1);
    await withFile(path, async (file) => {
      expect(file.has('y')).toBe(false);
      expect(() => file.info('y')).toThrow(foretokenError('INVALID_ARGUMENT', path, '"y"'));
      await expect(file.read('y')).rejects.toEqual(foretokenError('INVALID_ARGUMENT', path, '"y"'));
      expect(() => file.info('toString')).toThrow(foretokenError('INVALID_ARGUMENT', '"toString"'));
    });
  });

  it('names a file that does not exist', async () => {
    const path = directory.at('none.safetensors');
    await expect(readSafetensors(path)).rejects.toEqual(foretokenError('FILE_ACCESS', path, 'no such file'));
    await expect(readSafetensors(directory.path)).rejects.toEqual(
      foretokenError('FILE_ACCESS', directory.at('model.safetensors'), 'no such file'),
    );
  });
});

describe('a malformed file', () => {
  const x = (fields: object) => ({ x: { dtype: 'F32', shape: [2], data_offsets: [0, 8], ...fields } });
  const y = (begin: number, end: number) => ({
    y: { dtype: 'U8', shape: [end - begin], data_offsets: [begin, end] },
  });

  it.each<[string, unknown, number, string[]]>([
    ['a header that is not JSON', '{"x": ', 0, ['header is not JSON']],
    ['a header that is a list', '[]', 0, ['not a JSON object']],
    ['an entry that is a number', { x: 3 }, 0, ['"x"', 'not an object']],
    ['a missing dtype', x({ dtype: undefined }), 8, ['"x"', 'dtype is missing']],
    ['a fractional shape', x({ shape: [2.5] }), 8, ['"x"', 'shape [2.5]']],
    ['a negative shape', x({ shape: [-2] }), 8, ['"x"', 'shape [-2]']],
    ['a shape that is a number', x({ shape: 2 }), 8, ['"x"', 'shape 2']],
    ['one offset', x({ data_offsets: [8] }), 8, ['"x"', 'data_offsets [8]']],
    ['negative offsets', x({ data_offsets: [-8, 0] }), 8, ['"x"', 'data_offsets [-8,0]']],
    ['offsets backwards', x({ data_offsets: [8, 0] }), 8, ['"x"', 'backwards']],
    ['offsets past the end', x({}), 7, ['"x"', 'ends at byte 8', 'holds 7 bytes', 'truncated']],
    ['a shape that does not fill the data', x({ shape: [1] }), 8, ['"x"', 'F32 [1] takes 4 bytes', 'has 8']],
    ['a shape whose product overflows', x({ shape: [2 ** 52, 2 ** 52] }), 8, ['"x"', 'takes']],
    ['a hole', { ...x({}), ...y(9, 12) }, 12, ['"y"', '1 bytes before']],
    ['an overlap', { ...x({}), ...y(4, 12) }, 12, ['"y"', 'overlaps that of "x"']],
    ['two tensors in one place', { ...x({}), ...y(0, 8) }, 8, ['overlaps']],
    ['a tail', x({}), 11, ['3 bytes at the end']],
    ['metadata that is not strings', { __metadata__: { a: 1 }, ...x({}) }, 8, ['__metadata__']],
    [
      'a repeated name',
      '{"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\\u0078":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
      1,
      ['"x"', 'twice'],
    ],
    [
      'checksums that are not JSON',
      { __metadata__: { 'foretoken.checksums': '{' }, ...x({}) },
      8,
      ['foretoken.checksums'],
    ],
    [
      'a tensor without checksum',
      { __metadata__: { 'foretoken.checksums': '{}' }, ...x({}) },
      8,
      ['"x"', 'none for this tensor'],
    ],
    [
      'a checksum without tensor',
      { __metadata__: { 'foretoken.checksums': '{"z":""}' } },
      0,
      ['"z"', 'no data'],
    ],
    [
      'a header that is nested too deeply',
      `{"x":{"dtype":"U8","shape":${'['.repeat(1e5)}${']'.repeat(1e5)},"data_offsets":[0,1]}}`,
      1,
      ['header is not JSON', 'nested more than 256 deep'],
    ],
    [
      'checksums that are nested too deeply',
      { __metadata__: { 'foretoken.checksums': `{"x":${'['.repeat(1e5)}${']'.repeat(1e5)}}` }, ...x({}) },
      8,
      ['foretoken.checksums', 'not a JSON object'],
    ],
  ])('with %s is refused', async (_, header, dataBytes, parts) => {
    const path = handmade(header, dataBytes);
    await expect(readSafetensors(path)).rejects.toEqual(foretokenError('CORRUPT_FILE', path, ...parts));
  });

  it('is not a file with long metadata full of escapes', async () => {
    const metadata = { notes: '"\\\n'.repeat(3_000_000) };
    const file = await readSafetensors(handmade({ __metadata__: metadata, ...x({}) }, 8));
    await file.close();
    expect(file.metadata.notes === metadata.notes).toBe(true);
    expect(file.names).toEqual(['x']);
  });

  it('with an unknown element type is refused as unsupported', async () => {
    const path = handmade(x({ dtype: 'F4' }), 8);
    await expect(readSafetensors(path)).rejects.toEqual(foretokenError('UNSUPPORTED', path, '"x"', '"F4"'));
  });

  it('does not mistake a field named like a tensor, or a quote in a name, for a repeated name', async () => {
    const quoted = { dtype: 'U8', shape: [1], data_offsets: [8, 9] };
    const path = handmade({ 'dt"{,ype': quoted, dtype: x({}).x }, 9);
    await withFile(path, (file) => expect(file.names).toEqual(['dt"{,ype', 'dtype']));
  });

  it('with a wrong header length is refused', async () => {
    const path = directory.write('lies.safetensors', Buffer.from([200, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0x7d]));
    await expect(readSafetensors(path)).rejects.toEqual(
      foretokenError('CORRUPT_FILE', path, 'announces a header of 200 bytes'),
    );
    directory.write('lies.safetensors', Buffer.alloc(100, 255));
    await expect(readSafetensors(path)).rejects.toEqual(
      foretokenError('CORRUPT_FILE', path, 'not a safetensors file'),
    );
    directory.write('lies.safetensors', 'short');
    await expect(readSafetensors(path)).rejects.toEqual(
      foretokenError('CORRUPT_FILE', path, 'it has 5 bytes'),
    );
  });

  it('is refused wherever it is truncated', async () => {
    const path = directory.at('cut.safetensors');
    await writeSafetensors(path, [{ name: 'x', dtype: 'F32', shape: [3], data: Float32Array.of(1, 2, 3) }]);
    const whole = readFileSync(path);
    for (let length = 0; length < whole.length; length += 1) {
      writeFileSync(path, whole.subarray(0, length));
      await expect(readSafetensors(path)).rejects.toEqual(foretokenError('CORRUPT_FILE', path));
    }
  });

  it('is refused, at the latest by read, whichever bit of the tensors or their entries has changed', async () => {
    const path = directory.at('tampered.safetensors');
    await writeSafetensors(path, [
      { name: 'x', dtype: 'F32', shape: [2, 3], data: new Float32Array(6) },
      { name: 'y', dtype: 'I32', shape: [1], data: new Int32Array(1) },
    ]);
    const whole = readFileSync(path);
    for (let bit = 0; bit < whole.length * 8; bit += 1) {
      const byte = bit >> 3;
      const changed = Buffer.from(whole);
      changed[byte]! ^= 1 << (bit & 7);
      writeFileSync(path, changed);
      const outcome = await withFile(path, async (file) => {
        for (const name of file.names) await file.read(name);
        return 'accepted';
      }).catch((error: unknown) => (error as { code: string }).code);
      if (outcome !== 'accepted') expect(['CORRUPT_FILE', 'UNSUPPORTED']).toContain(outcome);
      else expect(sameMeaning(whole, changed)).toBe(true);
    }
  });

  /** Only changes of white space and of the checksums' key are not detected. */
  function sameMeaning(whole: Buffer, changed: Buffer): boolean {
    const parse = (bytes: Buffer) => {
      const { __metadata__, ...tensors } = JSON.parse(
        bytes.toString('utf8', 8, 8 + Number(bytes.readBigUInt64LE(0))),
      ) as Record<string, unknown>;
      return { tensors, data: bytes.subarray(8 + Number(bytes.readBigUInt64LE(0))).toString('hex') };
    };
    expect(parse(changed)).toEqual(parse(whole));
    return true;
  }

  it.each([
    ['another shape', '"shape":[2,3]', '"shape":[3,2]'],
    ['another type', '"dtype":"F32"', '"dtype":"I32"'],
    ['another name, also in its checksum', 'weight', 'weighs'],
  ])('is refused if a tensor has been given %s', async (_, written, changed) => {
    const path = directory.at('relabelled.safetensors');
    await writeSafetensors(path, [
      { name: 'weight', dtype: 'F32', shape: [2, 3], data: new Float32Array(6) },
    ]);
    const text = readFileSync(path, 'latin1');
    expect(text).toContain(written);
    writeFileSync(path, Buffer.from(text.replaceAll(written, changed), 'latin1'));
    await withFile(path, async (file) => {
      await expect(file.read(file.names[0]!)).rejects.toEqual(
        foretokenError('CORRUPT_FILE', path, 'checksum'),
      );
    });
  });

  it('is refused if two tensors of one shape have been exchanged', async () => {
    const path = directory.at('exchanged.safetensors');
    await writeSafetensors(path, [
      { name: 'q', dtype: 'F32', shape: [1], data: Float32Array.of(1) },
      { name: 'k', dtype: 'F32', shape: [1], data: Float32Array.of(2) },
    ]);
    const text = readFileSync(path, 'latin1');
    const exchanged = text.replace('"q":{', '"@":{').replace('"k":{', '"q":{').replace('"@":{', '"k":{');
    writeFileSync(path, Buffer.from(exchanged, 'latin1'));
    await withFile(path, async (file) => {
      await expect(file.read('q')).rejects.toEqual(foretokenError('CORRUPT_FILE', path, '"q"', 'checksum'));
    });
  });

  it('is refused if it becomes shorter while open', async () => {
    const path = handmade({ x: { dtype: 'U8', shape: [4], data_offsets: [0, 4] } }, 4);
    await withFile(path, async (file) => {
      writeFileSync(path, readFileSync(path).subarray(0, -2));
      await expect(file.read('x')).rejects.toEqual(foretokenError('CORRUPT_FILE', path, '"x"', 'shorter'));
    });
  });
});

describe('shards', () => {
  const entry = { dtype: 'U8', shape: [2], data_offsets: [0, 2] };
  const index = (weightMap: unknown) =>
    directory.write('model.safetensors.index.json', JSON.stringify({ metadata: {}, weight_map: weightMap }));

  it('are read as one file, by their index or their directory', async () => {
    handmade({ __metadata__: { format: 'pt' }, a: entry }, 2, 'model-1.safetensors');
    handmade({ b: entry }, 2, 'model-2.safetensors');
    const path = index({ a: 'model-1.safetensors', b: 'model-2.safetensors' });
    for (const by of [path, directory.path]) {
      await withFile(by, async (file) => {
        expect(file.names).toEqual(['a', 'b']);
        expect(file.metadata).toEqual({ format: 'pt' });
        expect(file.info('b')).toEqual({ dtype: 'U8', shape: [2] });
        expect([...(await file.read('b'))]).toEqual([1, 1]);
        await expect(file.read('c')).rejects.toEqual(foretokenError('INVALID_ARGUMENT', path, '"c"'));
      });
    }
  });

  it('are read only without a single model.safetensors', async () => {
    handmade({ b: entry }, 2, 'model-1.safetensors');
    index({ b: 'model-1.safetensors' });
    handmade({ a: entry }, 2, 'model.safetensors');
    await withFile(directory.path, (file) => expect(file.names).toEqual(['a']));
  });

  it.each<[string, unknown, string[]]>([
    ['a missing map', undefined, ['weight_map is missing']],
    ['a map that is a list', ['a'], ['weight_map is missing']],
    ['a path outside the directory', { a: '../model-1.safetensors' }, ['"a"', 'not the name']],
    ['a file of another kind', { a: 'config.json' }, ['"a"', 'config.json']],
    ['a number for a file', { a: 1 }, ['"a"', 'not the name']],
    [
      'a tensor that is missing in its shard',
      { b: 'model-1.safetensors' },
      ['"b"', 'not in model-1.safetensors'],
    ],
  ])('with %s are refused', async (_, weightMap, parts) => {
    handmade({ a: entry }, 2, 'model-1.safetensors');
    const path = index(weightMap);
    await expect(readSafetensors(path)).rejects.toEqual(foretokenError('CORRUPT_FILE', path, ...parts));
  });

  it('are refused if one is missing', async () => {
    const path = index({ a: 'model-7.safetensors' });
    await expect(readSafetensors(path)).rejects.toEqual(foretokenError('FILE_ACCESS', 'model-7.safetensors'));
  });
});
