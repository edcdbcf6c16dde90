import { extname } from 'node:path';
import { ForetokenError } from '../../errors';
import { isJsonObject, readText } from '../../files';
import { decodeUtf8 } from '../../utf8';
import { isBlank, readJsonArray } from './json-array';
import { readLines, readPieces, type FilePart } from './lines';

/** Extensions, in lower case, of files with a JSON object on each line. */
const LINES_EXTENSIONS = ['.jsonl', '.ndjson', '.jsonlines'];

const OPEN_OBJECT = '{'.charCodeAt(0);
const BYTE_ORDER_MARK = Buffer.from('\ufeff');

/** The format of a file, by its name. */
export type FileKind = 'lines' | 'json' | 'text';

/** Returns the format by the extension, ignoring case. */
export function fileKind(path: string): FileKind {
  const extension = extname(path).toLowerCase();
  if (LINES_EXTENSIONS.includes(extension)) return 'lines';
  return extension === '.json' ? 'json' : 'text';
}

/** A document of a file. */
export interface CorpusDocument {
  readonly text: string;
  /** Bytes of the file up to the end of the document. */
  readonly end: number;
}

/**
 * Reads the documents of a file, without empty ones and byte order marks:
 *
 * - in a `.jsonl`, `.ndjson` or `.jsonlines` file the field `textField` of the object on each line;
 * - in a `.json` file the same field, if the file holds an array of objects, an object on each of several lines, or a single
 *   line with such a field; any other `.json` file, such as the settings of a program, is one document as a whole;
 * - any other file is one document as a whole.
 *
 * @throws FILE_ACCESS if the file cannot be read; INVALID_DATA naming the file and the byte or line, if text is not UTF-8, not
 *   JSON, lacks the field or is too long
 */
export async function* readDocuments(path: string, textField = 'text'): AsyncGenerator<CorpusDocument> {
  const named = fileKind(path);
  const shape = named === 'json' ? await shapeOfJson(path, textField) : named;
  if (shape === 'text') {
    const text = await readText(path);
    if (text !== '') yield { text, end: Buffer.byteLength(text) };
    return;
  }
  for await (const part of shape === 'lines' ? readLines(path) : readJsonArray(path)) {
    const json = decodeUtf8(path, part.bytes, part);
    if (shape === 'lines' && json.trim() === '') continue;
    const text = textOf(`${path}:${part.line}`, json, textField);
    if (text !== '') yield { text, end: part.offset + part.bytes.length };
  }
}

/** @param where file and line, for messages */
function textOf(where: string, json: string, textField: string): string {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw invalid(where, `not JSON: ${(cause as Error).message}`, { cause });
  }
  if (!isJsonObject(value)) throw invalid(where, 'not a JSON object');
  const text = Object.hasOwn(value, textField) ? value[textField] : undefined;
  if (typeof text === 'string') return text;
  if (text !== undefined) throw invalid(where, `field "${textField}" is not a string`);
  throw invalid(
    where,
    `field "${textField}" is missing; the fields are: ${Object.keys(value).join(', ')}. ` +
      'Name the field that holds the text, or exclude the file',
  );
}

/** Detects the layout of a `.json` file, which may be a data set or any other JSON. */
async function shapeOfJson(path: string, textField: string): Promise<'array' | 'lines' | 'text'> {
  const [first, second] = await firstMarks(path);
  if (first === '[') return second === '{' ? 'array' : 'text';
  if (first !== '{') return 'text';
  const [line, next] = await firstLines(path);
  const value = line && objectOf(line.bytes);
  if (!value) return 'text';
  if (next) return next.bytes.find((byte) => !isBlank(byte)) === OPEN_OBJECT ? 'lines' : 'text';
  return typeof value[textField] === 'string' ? 'lines' : 'text';
}

/** Reads the first two characters of a file that are not white space. */
async function firstMarks(path: string): Promise<string[]> {
  const marks: string[] = [];
  let offset = 0;
  for await (const piece of readPieces(path)) {
    const start = offset === 0 && piece.subarray(0, 3).equals(BYTE_ORDER_MARK) ? 3 : 0;
    offset += piece.length;
    for (const byte of piece.subarray(start)) {
      if (!isBlank(byte)) marks.push(String.fromCharCode(byte));
      if (marks.length === 2) return marks;
    }
  }
  return marks;
}

/** Reads the first two lines of a file that are not blank; none if a line is too long. */
async function firstLines(path: string): Promise<FilePart[]> {
  const lines: FilePart[] = [];
  try {
    for await (const part of readLines(path)) {
      if (!part.bytes.every(isBlank) && lines.push(part) === 2) break;
    }
  } catch (error) {
    if (error instanceof ForetokenError && error.code === 'INVALID_DATA') return [];
    throw error;
  }
  return lines;
}

function objectOf(bytes: Uint8Array): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(decodeUtf8('', bytes));
    return isJsonObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function invalid(where: string, problem: string, options?: ErrorOptions): ForetokenError {
  return new ForetokenError('INVALID_DATA', `${where}: ${problem}`, options);
}
