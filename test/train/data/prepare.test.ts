import { readFileSync, readdirSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { byteTokenizerFiles, createTokenizer, type Tokenizer } from '../../../lib/model/tokenizer';
import { prepareCorpus, type CorpusOptions } from '../../../lib/train/data';
import { foretokenError } from '../../support/errors';
import { TemporaryDirectory } from '../../support/temporary';

const directory = new TemporaryDirectory();
const files = byteTokenizerFiles();
const tokenizer = createTokenizer(files);

const options = (more: Partial<CorpusOptions> = {}): CorpusOptions => ({
  patterns: [directory.at('text')],
  tokenizer,
  cacheDirectory: directory.at('cache'),
  ...more,
});

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

  it('tokenizes every document and ends it', async () => {
    const { tokens, starts } = await prepared();
    expect(tokens).toEqual([0x68, 0xc3, 0xa9, 256, 0x78, 256]);
    expect(starts).toEqual([0, 4]);
  });

  it('does not end a document twice, nor without an end token', async () => {
    directory.write('text/a.txt', 'h<|endoftext|>');
    expect((await prepared()).tokens).toEqual([0x68, 256, 0x78, 256]);
    const endless = createTokenizer({ 'tokenizer.json': files['tokenizer.json']! });
    expect((await prepared({ tokenizer: endless })).tokens).toEqual([0x68, 256, 0x78]);
  });

  it('tells how far it is', async () => {
    const onProgress = jest.fn();
    await prepared({ onProgress });
    expect(onProgress.mock.calls).toEqual([[{ documents: 1, tokens: 4 }], [{ documents: 2, tokens: 6 }]]);
  });

  it('takes from the cache what has the same content, wherever it lies and whenever it was written', async () => {
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

  it('makes another when content, order, field, exclusions or tokenizer differ', async () => {
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

  it('makes a damaged one again', async () => {
    const first = await prepared();
    const size = statSync(first.path).size;
    writeFileSync(first.path, readFileSync(first.path).fill(1, 70, 72));
    expect(await prepared()).toEqual(first);
    writeFileSync(first.path, '');
    expect(await prepared()).toEqual(first);
    expect(statSync(first.path).size).toBe(size);
  });

  it('refuses a corpus without text, and leaves nothing in the cache', async () => {
    directory.write('text/a.txt', '');
    directory.write('text/b.jsonl', '\n');
    await expect(prepared()).rejects.toEqual(
      foretokenError('INVALID_DATA', 'the corpus is empty', '2 files', 'a.txt'),
    );
    await expect(prepared({ patterns: [directory.at('text/a.txt')] })).rejects.toEqual(
      foretokenError('INVALID_DATA', 'the corpus is empty', directory.at('text/a.txt')),
    );
    expect(readdirSync(directory.at('cache'))).toEqual([]);
  });

  it('passes on what is wrong with a file', async () => {
    directory.write('text/c.txt', Buffer.of(0xff));
    await expect(prepared()).rejects.toEqual(
      foretokenError('INVALID_DATA', 'c.txt', 'not UTF-8', 'offset 0'),
    );
    await expect(prepared({ patterns: [directory.at('none')] })).rejects.toEqual(
      foretokenError('INVALID_DATA', 'none'),
    );
  });
});
