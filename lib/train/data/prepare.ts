import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ForetokenError } from '../../errors';
import { fileAccessError } from '../../model/files';
import type { Tokenizer } from '../../model/tokenizer';
import { findCorpusFiles, readDocuments } from './corpus';
import { TOKEN_FILE_VERSION, TokenFile, writeTokenFile } from './token-file';

/** What {@link prepareCorpus} tokenizes, and where it keeps the result. */
export interface CorpusOptions {
  /** Files, directories and globs of text. */
  readonly patterns: readonly string[];
  /** Globs of what to leave out. */
  readonly exclude?: readonly string[];
  /** The field of a `.jsonl` line that holds the text (default `text`). */
  readonly textField?: string;
  /** What makes the tokens. */
  readonly tokenizer: Tokenizer;
  /** Where tokenized corpora are kept. */
  readonly cacheDirectory: string;
  /** Told after every document how much has been tokenized; not called when the cache has the corpus. */
  readonly onProgress?: (done: { documents: number; tokens: number }) => void;
}

/**
 * The corpus as a token file: every document followed by the tokenizer's end token. It is made once for each content of
 * the files and tokenizer and kept in the cache directory; what the cache holds is checked, and made again if damaged.
 *
 * @throws what `findCorpusFiles` and `readDocuments` throw; INVALID_DATA when there is no text in the files.
 */
export async function prepareCorpus(options: CorpusOptions): Promise<TokenFile> {
  const { patterns, exclude, textField, tokenizer, cacheDirectory, onProgress } = options;
  const files = await findCorpusFiles(patterns, exclude);
  const path = join(cacheDirectory, `${await corpusKey(files, textField, tokenizer)}.tokens`);
  const cached = await openCached(path);
  if (cached) return cached;
  await writeTokenFile(path, tokenizer.vocabSize, tokenize(files, textField, tokenizer, onProgress));
  return TokenFile.open(path);
}

async function openCached(path: string): Promise<TokenFile | undefined> {
  if (!(await stat(path).catch(() => undefined))) return undefined;
  return TokenFile.open(path).catch((error: unknown) => {
    if (error instanceof ForetokenError && error.code === 'CORRUPT_FILE') return undefined;
    throw error;
  });
}

async function* tokenize(
  files: readonly string[],
  textField: string | undefined,
  tokenizer: Tokenizer,
  onProgress: CorpusOptions['onProgress'],
): AsyncGenerator<Int32Array> {
  let documents = 0;
  let tokens = 0;
  for (const file of files) {
    for await (const text of readDocuments(file, textField)) {
      const ids = withEnd(tokenizer.encode(text), tokenizer.eosId);
      yield ids;
      documents += 1;
      tokens += ids.length;
      onProgress?.({ documents, tokens });
    }
  }
  if (tokens === 0) {
    throw new ForetokenError('INVALID_DATA', `the corpus is empty: no text in ${describe(files)}`);
  }
}

/** The document with its end token, which some tokenizers add themselves. */
function withEnd(ids: Int32Array, eosId: number | undefined): Int32Array {
  if (eosId === undefined || ids.at(-1) === eosId) return ids;
  const ended = new Int32Array(ids.length + 1);
  ended.set(ids);
  ended[ids.length] = eosId;
  return ended;
}

function describe(files: readonly string[]): string {
  return files.length === 1 ? files[0]! : `${files.length} files, ${files[0]} the first`;
}

/** A name for everything that the tokens depend on. */
async function corpusKey(
  files: readonly string[],
  textField: string | undefined,
  tokenizer: Tokenizer,
): Promise<string> {
  const hash = createHash('sha256');
  hash.update(JSON.stringify([TOKEN_FILE_VERSION, tokenizer.files, tokenizer.eosId, textField]));
  for (const file of files) {
    const kind = file.endsWith('.jsonl') ? 'lines' : 'text';
    hash.update(`${kind} ${await contentHash(file)}\n`);
  }
  return hash.digest('hex').slice(0, 32);
}

async function contentHash(path: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 }))
      hash.update(chunk as Buffer);
  } catch (cause) {
    throw fileAccessError('read', path, cause);
  }
  return hash.digest('hex');
}
