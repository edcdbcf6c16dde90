import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename } from 'node:path';
import { byteTokenizerFiles, createTokenizer, type Tokenizer } from '../../../lib/model/tokenizer';
import * as library from '../../../lib/model/tokenizer/library';
import {
  prepareCorpus,
  supersededTokenFiles,
  type CorpusOptions,
  type CorpusProgress,
} from '../../../lib/train/data';
import { foretokenError } from '../../support/errors';
import { asOrdinaryUser, TemporaryDirectory } from '../../support/temporary';

const directory = new TemporaryDirectory();
const files = byteTokenizerFiles();
const tokenizer = createTokenizer(files);

const options = (more: Partial<CorpusOptions> = {}): CorpusOptions => ({
  patterns: [directory.at('text')],
  tokenizer,
  cacheDirectory: directory.at('cache'),
  ...more,
});

const filesIn = (name: string) => (existsSync(directory.at(name)) ? readdirSync(directory.at(name)) : []);

async function prepared(more?: Partial<CorpusOptions>) {
  const file = await prepareCorpus(options(more));
  const tokens = new Int32Array(file.length);
  file.read(0, file.length, tokens);
  const starts = Array.from({ length: file.documentCount }, (_, i) => file.documentStart(i));
  await file.close();
  return { path: file.path, tokens: [...tokens], starts };
}

describe('preparing a corpus', () => {
  beforeEach(() => {
    directory.write('text/b.jsonl', '{"text": "x", "body": "yz"}\n{"text": "", "body": "w"}\n');
    directory.write('text/a.txt', 'hé');
  });

  it('tokenizes every document and appends the end token', async () => {
    const { tokens, starts } = await prepared();
    expect(tokens).toEqual([0x68, 0xc3, 0xa9, 256, 0x78, 256]);
    expect(starts).toEqual([0, 4]);
  });

  it('takes special tokens in the text for text if they are to be split', async () => {
    directory.write('text/a.txt', '<|endoftext|>');
    const plain = [...Buffer.from('<|endoftext|>'), 256, 0x78, 256];
    expect((await prepared()).tokens).toEqual([256, 0x78, 256]);
    expect((await prepared({ splitSpecialTokens: true })).tokens).toEqual(plain);
  });

  it('pauses and reports within a document whose tokenizer works in pieces', async () => {
    const pieces = [Int32Array.of(1, 2), Int32Array.of(3)];
    const inPieces = Object.assign(createTokenizer(files), { encodeInPieces: () => pieces });
    const seen: number[] = [];
    const onProgress = ({ phase, tokens }: CorpusProgress) => {
      if (phase === 'tokenizing') seen.push(tokens);
    };
    expect((await prepared({ tokenizer: inPieces, onProgress })).tokens).toEqual([
      1, 2, 3, 256, 1, 2, 3, 256,
    ]);
    expect(seen.slice(0, 3)).toEqual([2, 4, 6]);
    const controller = new AbortController();
    const abort = ({ tokens }: CorpusProgress) => {
      if (tokens === 2) controller.abort(new Error('enough'));
    };
    directory.write('text/c.txt', 'c');
    await expect(
      prepareCorpus(options({ tokenizer: inPieces, onProgress: abort, signal: controller.signal })),
    ).rejects.toThrow('enough');
  });

  it('appends no second end token, and none if the tokenizer has none', async () => {
    directory.write('text/a.txt', 'h<|endoftext|>');
    expect((await prepared()).tokens).toEqual([0x68, 256, 0x78, 256]);
    const endless = createTokenizer({ 'tokenizer.json': files['tokenizer.json']! });
    expect((await prepared({ tokenizer: endless })).tokens).toEqual([0x68, 256, 0x78]);
  });

  it('reports progress', async () => {
    const onProgress = jest.fn();
    await prepared({ onProgress });
    const calls = onProgress.mock.calls.map(([progress]) => progress as CorpusProgress);
    const totalBytes = 3 + statSync(directory.at('text/b.jsonl')).size;
    const of = (phase: string) => calls.filter((call) => call.phase === phase);
    expect([...new Set(calls.map(({ phase }) => phase))]).toEqual(['reading', 'checking', 'tokenizing']);
    for (const phase of ['reading', 'checking', 'tokenizing']) {
      const bytes = of(phase).map((call) => call.bytes);
      expect(bytes).toEqual([...bytes].sort((a, b) => a - b));
      expect([bytes[0], bytes.at(-1)]).toEqual([3, totalBytes]);
    }
    expect(of('checking').at(-1)).toMatchObject({ documents: 2, tokens: 0, totalBytes });
    expect(of('tokenizing')[0]).toMatchObject({ documents: 1, tokens: 4, totalBytes });
    expect(of('tokenizing').at(-1)).toMatchObject({ documents: 2, tokens: 6, totalBytes });
    onProgress.mockClear();
    await prepared({ onProgress });
    expect(new Set(onProgress.mock.calls.map(([{ phase }]) => phase as string))).toEqual(
      new Set(['reading']),
    );
  });

  describe('of many documents', () => {
    beforeEach(() => {
      const line = `${JSON.stringify({ text: 'x'.repeat(100) })}\n`;
      directory.write('text/many.jsonl', line.repeat(20_000));
    });

    it('lets the event loop run', async () => {
      let longest = 0;
      let last = performance.now();
      const timer = setInterval(() => {
        longest = Math.max(longest, performance.now() - last);
        last = performance.now();
      }, 5);
      const phases: string[] = [];
      const started = performance.now();
      await prepared({ onProgress: ({ phase }) => phases.push(phase) });
      clearInterval(timer);
      expect(phases.length).toBeGreaterThan(40_000);
      expect(longest).toBeGreaterThan(0);
      expect(longest).toBeLessThan((performance.now() - started) / 2);
    });

    it.each(['reading', 'checking', 'tokenizing'])(
      'stops when told to while %s, and leaves nothing',
      async (when) => {
        const controller = new AbortController();
        const reason = new Error('enough');
        let calls = 0;
        const onProgress = ({ phase }: CorpusProgress) => {
          if (phase !== when) return;
          calls += 1;
          if (calls === 1) controller.abort(reason);
        };
        await expect(prepared({ onProgress, signal: controller.signal })).rejects.toBe(reason);
        expect(calls).toBe(1);
        expect(filesIn('cache')).toEqual([]);
      },
    );

    it('stops when a timer aborts it', async () => {
      const signal = AbortSignal.timeout(30);
      await expect(prepared({ signal })).rejects.toMatchObject({ name: 'TimeoutError' });
      expect(filesIn('cache')).toEqual([]);
    });
  });

  it('reads the same content from the cache, whatever its path and date', async () => {
    const encode = jest.fn((text: string) => tokenizer.encode(text));
    const counting: Tokenizer = {
      ...tokenizer,
      encode,
      vocabSize: tokenizer.vocabSize,
      eosId: tokenizer.eosId,
    };
    const first = await prepared({ tokenizer: counting });
    expect(encode).toHaveBeenCalledTimes(2);
    utimesSync(directory.at('text/a.txt'), 1, 1);
    directory.write('other/1.txt', 'hé');
    directory.write('other/2.jsonl', readFileSync(directory.at('text/b.jsonl')));
    expect(await prepared({ tokenizer: counting })).toEqual(first);
    expect(await prepared({ tokenizer: counting, patterns: [directory.at('other')] })).toEqual(first);
    expect(encode).toHaveBeenCalledTimes(2);
  });

  it('makes another file if content, order, field, exclusions or tokenizer differ', async () => {
    const paths = [(await prepared()).path];
    paths.push((await prepared({ textField: 'body' })).path);
    paths.push((await prepared({ exclude: ['*.jsonl'] })).path);
    paths.push(
      (await prepared({ patterns: ['b.jsonl', 'a.txt'].map((name) => directory.at(`text/${name}`)) })).path,
    );
    paths.push(
      (await prepared({ tokenizer: createTokenizer({ 'tokenizer.json': files['tokenizer.json']! }) })).path,
    );
    directory.write('text/a.txt', 'ho');
    paths.push((await prepared()).path);
    expect(new Set(paths).size).toBe(paths.length);
    expect(readdirSync(directory.at('cache'))).toHaveLength(paths.length);
  });

  it('replaces a damaged file', async () => {
    const first = await prepared();
    const size = statSync(first.path).size;
    writeFileSync(first.path, readFileSync(first.path).fill(1, 70, 72));
    expect(await prepared()).toEqual(first);
    writeFileSync(first.path, '');
    expect(await prepared()).toEqual(first);
    expect(statSync(first.path).size).toBe(size);
  });

  it('refuses a corpus without text, and leaves no file in the cache', async () => {
    directory.write('text/a.txt', '');
    directory.write('text/b.jsonl', '\n');
    await expect(prepared()).rejects.toEqual(
      foretokenError('INVALID_DATA', 'the corpus is empty', '2 files', 'a.txt'),
    );
    await expect(prepared({ patterns: [directory.at('text/a.txt')] })).rejects.toEqual(
      foretokenError('INVALID_DATA', 'the corpus is empty', directory.at('text/a.txt')),
    );
    expect(filesIn('cache')).toEqual([]);
  });

  it('reports the problem of a file', async () => {
    directory.write('text/c.txt', Buffer.of(0xff));
    await expect(prepared()).rejects.toEqual(
      foretokenError('INVALID_DATA', 'c.txt', 'not UTF-8', 'offset 0'),
    );
    await expect(prepared({ patterns: [directory.at('none')] })).rejects.toEqual(
      foretokenError('INVALID_DATA', 'none'),
    );
  });

  it('names every unusable file before it tokenizes any, and what to exclude', async () => {
    const encode = jest.fn((text: string) => tokenizer.encode(text));
    const counting: Tokenizer = { ...tokenizer, encode, vocabSize: 257, eosId: 256 };
    for (const name of ['1.png', '2.png', 'latin.txt'])
      directory.write(`text/${name}`, Buffer.of(0x61, 0xff));
    directory.write('text/c.jsonl', '{"text": "a"}\n{"content": "b"}');
    await expect(prepared({ tokenizer: counting })).rejects.toEqual(
      foretokenError(
        'INVALID_DATA',
        '4 files',
        `${directory.at('text/1.png')}: not UTF-8: byte 0xff at offset 1`,
        `${directory.at('text/2.png')}: not UTF-8`,
        `${directory.at('text/latin.txt')}: not UTF-8`,
        `${directory.at('text/c.jsonl')}:2: field "text" is missing`,
        `exclude *.png, ${directory.at('text/c.jsonl')}, ${directory.at('text/latin.txt')}`,
      ),
    );
    expect(encode).not.toHaveBeenCalled();
    expect((await prepared({ exclude: ['*.png', 'c.jsonl', 'latin.txt'] })).starts).toEqual([0, 4]);
  });

  it('escapes what to exclude, ready to copy', async () => {
    const path = directory.write('text/[a] {1}.txt', Buffer.of(0xff));
    const { message } = (await prepared().catch((error: unknown) => error as Error)) as Error;
    const [, exclude] = /\(exclude (.*)\)$/.exec(message)!;
    expect(message).toContain(`${path}: not UTF-8`);
    expect((await prepared({ exclude: [exclude!] })).starts).toEqual([0, 4]);
  });

  it('names the first of many files and counts the others', async () => {
    for (let i = 10; i < 50; i += 1) directory.write(`text/${i}.bin`, Buffer.of(0xff));
    await expect(prepared()).rejects.toEqual(
      foretokenError('INVALID_DATA', '40 files', '10.bin', '29.bin', 'and 20 more', 'exclude *.bin'),
    );
    await expect(prepared()).rejects.not.toEqual(foretokenError('INVALID_DATA', '30.bin'));
  });

  it('names every unreadable file', async () => {
    await asOrdinaryUser(directory.path, async () => {
      for (const name of ['x.txt', 'y.txt']) chmodSync(directory.write(`text/${name}`, name), 0);
      await expect(prepared()).rejects.toEqual(
        foretokenError(
          'FILE_ACCESS',
          '2 files',
          `cannot read ${directory.at('text/x.txt')}: permission`,
          'y.txt',
        ),
      );
    });
  });

  it('refuses patterns that are not an array of non-empty strings', async () => {
    const refused = (more: object, ...parts: string[]) =>
      expect(prepared(more)).rejects.toEqual(foretokenError('INVALID_ARGUMENT', 'prepareCorpus', ...parts));
    await refused({ patterns: 'a/b' }, 'patterns must be an array', '"a/b"');
    await refused({ patterns: undefined }, 'patterns is missing');
    await refused(
      { patterns: ['a', ''] },
      'patterns[1] must be a string that is not empty',
      "'.'",
      'but is ""',
    );
    await refused({ patterns: ['a', 7] }, 'patterns[1]', 'but is 7');
    await refused({ exclude: '*.md' }, 'exclude must be an array', '"*.md"');
    await refused({ exclude: [''] }, 'exclude[0]', 'not empty');
    await refused({ pattern: ['a'] }, 'pattern', 'do you mean patterns?');
  });

  it('makes another file for another version of the tokenizer library', async () => {
    expect(library.libraryVersion()).toMatch(/^\d+\.\d+\.\d+/);
    const before = await prepared();
    const spy = jest.spyOn(library, 'libraryVersion').mockReturnValue('999.0.0');
    try {
      expect((await prepared()).path).not.toBe(before.path);
    } finally {
      spy.mockRestore();
    }
    expect((await prepared()).path).toBe(before.path);
  });

  it('does not read its own cache as text', async () => {
    const everything = { patterns: [directory.path] };
    const first = await prepared(everything);
    expect(await prepared(everything)).toEqual(first);
    await expect(prepared({ patterns: [first.path] })).rejects.toEqual(
      foretokenError('INVALID_DATA', 'the corpus is empty', 'only token files'),
    );
  });

  it('does not overwrite other files', async () => {
    const { path } = await prepared();
    writeFileSync(path, 'a diary');
    await expect(prepared()).rejects.toEqual(
      foretokenError('INVALID_ARGUMENT', path, 'not a token file', 'another cache directory'),
    );
    expect(readFileSync(path, 'utf8')).toBe('a diary');
    rmSync(path);
    mkdirSync(path);
    await expect(prepared()).rejects.toEqual(foretokenError('FILE_ACCESS', path, 'directory'));
  });

  it('lists its own files in the cache, and no others', async () => {
    const old = (await prepared({ textField: 'body' })).path;
    const { path } = await prepared();
    const unfinished = directory.write(`cache/.tmp-${basename(old)}-0123456789ab`, 'FTTO');
    directory.write('cache/notes.tokens', 'FTTOKENS');
    directory.write(`cache/${basename(old).replace(/\w{8}\./, '00000000.')}`, 'no tokens');
    expect(await supersededTokenFiles(path)).toEqual([unfinished, old]);
    await expect(supersededTokenFiles(directory.at('none/x'))).rejects.toEqual(
      foretokenError('FILE_ACCESS', 'none'),
    );
  });
});
