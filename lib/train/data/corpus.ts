import { constants, isUtf8 } from 'node:buffer';
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { posix, resolve } from 'node:path';
import { escapePath, glob } from 'tinyglobby';
import { fileAccessError, isJsonObject } from '../../model/files';
import { ForetokenError } from '../../errors';
import { firstInvalidUtf8 } from './utf8';

/**
 * The text files that patterns stand for, as absolute paths, each once: pattern by pattern as given, sorted within.
 *
 * @param patterns files, directories (everything inside, however deep) or globs. Names that begin with a dot are
 *   found only when they are written out.
 * @param exclude globs of what to leave out, files or directories. Without a slash, a name at any depth.
 * @throws INVALID_DATA when a pattern stands for no file.
 */
export async function findCorpusFiles(
  patterns: readonly string[],
  exclude: readonly string[] = [],
): Promise<string[]> {
  if (patterns.length === 0) {
    throw new ForetokenError('INVALID_DATA', 'the corpus is empty: no file, directory or pattern was given');
  }
  const ignore = exclude.map(excludePattern);
  const found = new Set<string>();
  for (const pattern of patterns) {
    const files = await glob(await absolutePattern(pattern), { absolute: true, cwd: '/', ignore });
    if (files.length === 0) {
      const left = exclude.length > 0 ? `, apart from what is excluded (${exclude.join(', ')})` : '';
      throw new ForetokenError(
        'INVALID_DATA',
        `no file matches ${pattern}${left} (looked in ${process.cwd()})`,
      );
    }
    for (const file of files.sort()) found.add(file);
  }
  return [...found];
}

/** What exists is taken by its name, even if that looks like a pattern. */
async function absolutePattern(pattern: string): Promise<string> {
  const status = await stat(pattern).catch(() => undefined);
  if (status) return escapePath(resolve(pattern)) + (status.isDirectory() ? '/**/*' : '');
  return posix.resolve(escapePath(process.cwd()), pattern);
}

function excludePattern(pattern: string): string {
  if (pattern.startsWith('**/')) return pattern;
  return pattern.includes('/') ? posix.resolve(escapePath(process.cwd()), pattern) : `**/${pattern}`;
}

/**
 * The documents of a file: every line of a `.jsonl` file is a JSON object whose field `textField` is a document; any
 * other file is one document as a whole. Empty documents are left out, and so is a byte order mark.
 *
 * @throws FILE_ACCESS when it cannot be read; INVALID_DATA, naming the file and the byte or line, for what is not UTF-8,
 *   not JSON or lacks the field.
 */
export async function* readDocuments(path: string, textField = 'text'): AsyncGenerator<string> {
  if (path.endsWith('.jsonl')) {
    yield* readJsonLines(path, textField);
  } else {
    const text = await readText(path);
    if (text !== '') yield text;
  }
}

async function readText(path: string): Promise<string> {
  let bytes: Buffer;
  try {
    const { size } = await stat(path);
    if (size > constants.MAX_STRING_LENGTH) {
      const limit = Math.floor(constants.MAX_STRING_LENGTH / 2 ** 20);
      throw invalid(
        path,
        `a text file is one document of at most ${limit} MiB; split it, or make it a .jsonl file`,
      );
    }
    bytes = await readFile(path);
  } catch (cause) {
    throw cause instanceof ForetokenError ? cause : fileAccessError('read', path, cause);
  }
  return decode(path, bytes, 0);
}

async function* readJsonLines(path: string, textField: string): AsyncGenerator<string> {
  let number = 0;
  let offset = 0;
  for await (const line of readLines(path)) {
    number += 1;
    const text = decode(path, line, offset);
    offset += line.length + 1;
    if (text.trim() === '') continue;
    const document = textOfLine(`${path}:${number}`, text, textField);
    if (document !== '') yield document;
  }
}

function textOfLine(where: string, line: string, textField: string): string {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch (cause) {
    throw invalid(where, `not JSON: ${(cause as Error).message}`, { cause });
  }
  if (!isJsonObject(json)) throw invalid(where, 'not a JSON object');
  const text = json[textField];
  if (typeof text === 'string') return text;
  if (text !== undefined) throw invalid(where, `field "${textField}" is not a string`);
  throw invalid(where, `field "${textField}" is missing; the fields are: ${Object.keys(json).join(', ')}`);
}

/** The lines of a file as bytes, without their line feeds, however long the file is. */
async function* readLines(path: string): AsyncGenerator<Uint8Array> {
  let unfinished: Uint8Array[] = [];
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>) {
      let start = 0;
      for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, start)) {
        yield Buffer.concat([...unfinished, chunk.subarray(start, end)]);
        unfinished = [];
        start = end + 1;
      }
      unfinished.push(chunk.subarray(start));
    }
  } catch (cause) {
    throw fileAccessError('read', path, cause);
  }
  const last = Buffer.concat(unfinished);
  if (last.length > 0) yield last;
}

/** @param offset where `bytes` lie in the file. */
function decode(path: string, bytes: Uint8Array, offset: number): string {
  if (!isUtf8(bytes)) {
    const index = firstInvalidUtf8(bytes);
    const byte = bytes[index]!.toString(16).padStart(2, '0');
    throw invalid(
      path,
      `not UTF-8: byte 0x${byte} at offset ${offset + index}; convert it, or exclude the file`,
    );
  }
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  return offset === 0 && text.startsWith('\ufeff') ? text.slice(1) : text;
}

function invalid(where: string, problem: string, options?: ErrorOptions): ForetokenError {
  return new ForetokenError('INVALID_DATA', `${where}: ${problem}`, options);
}
