import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import {
  arrayOf,
  boolean,
  callback,
  checker,
  checkOptions,
  path,
  required,
  shaped,
  signal,
  string,
  type Schema,
} from '../../check';
import { ForetokenError } from '../../errors';
import { encodingVersion, joinIds, type Tokenizer } from '../../model/tokenizer';
import { findCorpusFiles } from './corpus-files';
import { fileKind, readDocuments } from './documents';
import { readPieces } from './lines';
import { Pauses } from './pauses';
import { throwProblems, type FileProblem } from './problems';
import { cachedTokenFile, isCachedTokenFile, openCachedTokenFile } from './token-cache';
import { TOKEN_FILE_VERSION, TokenFile, writeTokenFile } from './token-file';

/** Raise this version whenever files yield other documents, or documents are joined in another way. */
const DOCUMENTS_VERSION = 2;

/** Options of {@link prepareCorpus}. */
export interface CorpusOptions {
  /**
   * Files, directories and globs of text. `.jsonl`, `.ndjson` and `.jsonlines` files have a document on each line, in a field of
   * a JSON object. So do `.json` files that hold an array of objects or an object on each line. Any other file is one document.
   */
  readonly patterns: readonly string[];
  /** Globs of files and directories to leave out. */
  readonly exclude?: readonly string[];
  /** The field of a JSON object that holds the text (default `text`). */
  readonly textField?: string;
  /** The tokenizer; its end token follows every document. */
  readonly tokenizer: Tokenizer;
  /** Takes special tokens that are written in documents, such as `<|endoftext|>`, for plain text. Default false. */
  readonly splitSpecialTokens?: boolean;
  /** Directory that keeps tokenized corpora, which are never read as text. */
  readonly cacheDirectory: string;
  /** Called repeatedly with the progress. */
  readonly onProgress?: (progress: CorpusProgress) => void;
  /** When aborted, the preparation rejects with the signal's reason and leaves no file. */
  readonly signal?: AbortSignal;
}

/** An empty pattern is refused: it is more likely an unset shell variable than the current directory. */
const pattern = checker<string>(
  "a string that is not empty; the current directory is '.'",
  (value) => typeof value === 'string' && value !== '',
);

const OPTIONS: Schema<CorpusOptions> = {
  patterns: required(arrayOf(pattern)),
  exclude: arrayOf(pattern),
  textField: string,
  tokenizer: required(
    shaped<Tokenizer>('a tokenizer', { encode: 'function', vocabSize: 'number', files: 'object' }),
  ),
  splitSpecialTokens: boolean,
  cacheDirectory: required(path),
  onProgress: callback,
  signal,
};

/** Progress of {@link prepareCorpus}. */
export interface CorpusProgress {
  /**
   * `reading` computes the checksum of the files. If the cache lacks the corpus, `checking` then finds documents that cannot be
   * used, and `tokenizing` writes the tokens.
   */
  readonly phase: 'reading' | 'checking' | 'tokenizing';
  /** Bytes done in this phase. */
  readonly bytes: number;
  /** Bytes of all files. */
  readonly totalBytes: number;
  /** Documents done in this phase; 0 while reading. */
  readonly documents: number;
  /** Tokens made so far. */
  readonly tokens: number;
}

/**
 * Tokenizes a corpus into a token file: every document, followed by the tokenizer's end token. The cache directory keeps the
 * file for the same contents, tokenizer and version of this code. A cached file is checked against its checksum, and replaced
 * if damaged. All text is checked before any is tokenized, and all problems are reported at once.
 *
 * @throws INVALID_ARGUMENT naming a wrong option, or if the cache directory holds another file under the name of the token
 *   file; FILE_ACCESS and INVALID_DATA naming the files and directories that cannot be read or used, with byte or line;
 *   INVALID_DATA if a pattern matches no file, or the files hold no text
 * @example
 * ```ts
 * import { byteTokenizerFiles, createTokenizer, prepareCorpus } from 'foretoken';
 *
 * const tokenizer = createTokenizer(byteTokenizerFiles());
 * const corpus = await prepareCorpus({ patterns: ['texts', 'more/*.jsonl'], tokenizer, cacheDirectory: 'cache' });
 * console.log(corpus.documentCount, corpus.length);
 * await corpus.close();
 * ```
 */
export async function prepareCorpus(given: CorpusOptions): Promise<TokenFile> {
  const options = checkOptions('prepareCorpus', given, OPTIONS);
  const { patterns, exclude, cacheDirectory } = options;
  const found = await findCorpusFiles(patterns, exclude);
  const corpus = new Corpus(
    found.filter((path) => !isCachedTokenFile(path, resolve(cacheDirectory))),
    options,
  );
  const file = cachedTokenFile(cacheDirectory, await corpus.key());
  const cached = await openCachedTokenFile(file);
  if (cached) return cached;
  await corpus.check();
  await writeTokenFile(file, options.tokenizer.vocabSize, corpus.tokenize());
  return TokenFile.open(file);
}

/** Reads, checks and tokenizes the files of a corpus. */
class Corpus {
  readonly #pauses: Pauses;
  #sizes: number[] = [];
  #totalBytes = 0;
  /** Bytes of the files done in this phase. */
  #bytes = 0;
  /** Bytes done of the file under way. */
  #done = 0;
  #documents = 0;
  #tokens = 0;

  constructor(
    private readonly files: readonly string[],
    private readonly options: CorpusOptions,
  ) {
    this.#pauses = new Pauses(options.signal);
  }

  /**
   * Computes a key of everything that the tokens depend on.
   * @throws FILE_ACCESS naming all files that cannot be read
   */
  async key(): Promise<string> {
    const { tokenizer, textField, splitSpecialTokens = false } = this.options;
    const versions = [TOKEN_FILE_VERSION, DOCUMENTS_VERSION, encodingVersion()];
    const key = createHash('sha256');
    key.update(
      JSON.stringify([...versions, tokenizer.files, tokenizer.eosId, textField, splitSpecialTokens]),
    );
    this.#sizes = await Promise.all(this.files.map(sizeOf));
    this.#totalBytes = this.#sizes.reduce((sum, size) => sum + size, 0);
    await this.#eachFile('reading', async (file) => {
      const content = createHash('sha256');
      let bytes = 0;
      for await (const piece of readPieces(file)) {
        content.update(piece);
        bytes += piece.length;
        await this.#report('reading', bytes);
      }
      key.update(`${fileKind(file)} ${content.digest('hex')}\n`);
    });
    return key.digest('hex').slice(0, 32);
  }

  /** @throws INVALID_DATA naming all files that cannot be used, or if none holds text */
  async check(): Promise<void> {
    await this.#eachFile('checking', async (file) => {
      for await (const { end } of readDocuments(file, this.options.textField)) {
        this.#documents += 1;
        await this.#report('checking', end);
      }
    });
    if (this.#documents === 0) throw this.#noText();
  }

  /** Yields the ids of each document, with its end token. */
  async *tokenize(): AsyncGenerator<Int32Array> {
    const { textField } = this.options;
    this.#bytes = 0;
    this.#done = 0;
    this.#documents = 0;
    for (const [i, file] of this.files.entries()) {
      for await (const { text, end } of readDocuments(file, textField)) {
        yield await this.#encode(text);
        this.#documents += 1;
        await this.#report('tokenizing', end);
      }
      this.#bytes += this.#sizes[i]!;
      this.#done = 0;
    }
    await this.#report('tokenizing', 0);
    if (this.#tokens === 0) throw this.#noText();
  }

  /** Returns the ids of a document, with its end token. Pauses and reports within long documents, too. */
  async #encode(text: string): Promise<Int32Array> {
    const { tokenizer, splitSpecialTokens } = this.options;
    const pieces: Int32Array[] = [];
    const before = this.#tokens;
    const options = { splitSpecialTokens };
    for (const piece of tokenizer.encodeInPieces?.(text, options) ?? [tokenizer.encode(text, options)]) {
      if (pieces.length > 0) await this.#report('tokenizing', this.#done);
      pieces.push(piece);
      this.#tokens += piece.length;
    }
    const ids = withEnd(joinIds(pieces), tokenizer.eosId);
    this.#tokens = before + ids.length;
    return ids;
  }

  /** Runs `work` on each file, then throws the problems of all files together. */
  async #eachFile(phase: CorpusProgress['phase'], work: (file: string) => Promise<void>): Promise<void> {
    const problems: FileProblem[] = [];
    this.#bytes = 0;
    for (const [i, file] of this.files.entries()) {
      try {
        await work(file);
      } catch (error) {
        if (!(error instanceof ForetokenError) || this.options.signal?.aborted) throw error;
        problems.push({ path: file, error });
      }
      this.#bytes += this.#sizes[i]!;
    }
    throwProblems(problems, this.files);
    await this.#report(phase, 0);
  }

  /** @param bytes done of the file under way */
  async #report(phase: CorpusProgress['phase'], bytes: number): Promise<void> {
    this.#done = bytes;
    this.options.onProgress?.({
      phase,
      bytes: this.#bytes + bytes,
      totalBytes: this.#totalBytes,
      documents: this.#documents,
      tokens: this.#tokens,
    });
    await this.#pauses.pause();
  }

  #noText(): ForetokenError {
    const [first, ...others] = this.files;
    const where = others.length === 0 ? first : `${this.files.length} files, ${first} the first`;
    return new ForetokenError(
      'INVALID_DATA',
      `the corpus is empty: no text in ${where ?? 'it, only token files'}`,
    );
  }
}

/** Returns 0 for a file without access; reading it will report the error. */
async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}

/** Appends the end token, unless the tokenizer has added it. */
function withEnd(ids: Int32Array, eosId: number | undefined): Int32Array {
  return eosId === undefined || ids.at(-1) === eosId ? ids : joinIds([ids, [eosId]]);
}
