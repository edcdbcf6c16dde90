import { ForetokenError } from '../../errors';
import { PartBuilder, readPieces, type FilePart } from './lines';

const code = (character: string): number => character.charCodeAt(0);
const [LINE_FEED, QUOTE, BACKSLASH, COMMA] = [code('\n'), code('"'), code('\\'), code(',')];
const [OPEN_ARRAY, OPEN_OBJECT, CLOSE_ARRAY, CLOSE_OBJECT] = [code('['), code('{'), code(']'), code('}')];

/** Whether a byte is JSON white space. */
export function isBlank(byte: number): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d;
}

/**
 * Reads the elements of a file that holds one JSON array, each as its bytes, from a file of any length. Checks neither the
 * elements nor the bytes before the array.
 *
 * @throws INVALID_DATA naming file and line, if the array does not end or something follows it
 */
export async function* readJsonArray(path: string): AsyncGenerator<FilePart> {
  const part = new PartBuilder(path, 'value');
  let line = 1;
  let depth = 0;
  let ended = false;
  let inString = false;
  let escaped = false;
  const fail = (problem: string) =>
    new ForetokenError('INVALID_DATA', `${path}:${line}: not JSON: ${problem}`);
  for await (const piece of readPieces(path)) {
    let start = 0;
    for (let i = 0; i < piece.length; i += 1) {
      const byte = piece[i]!;
      if (byte === LINE_FEED) line += 1;
      if (inString) {
        if (escaped) escaped = false;
        else if (byte === BACKSLASH) escaped = true;
        else if (byte === QUOTE) inString = false;
        continue;
      }
      if (isBlank(byte)) continue;
      if (ended) throw fail('something follows the array');
      const begins = depth === 0 && byte === OPEN_ARRAY;
      const ends = depth === 1 && (byte === COMMA || byte === CLOSE_ARRAY);
      if (depth === 1 && !ends) part.beginsOn(line);
      if (begins || ends) {
        part.add(piece.subarray(start, i));
        const element = part.take(1);
        if (ends) yield element;
        start = i + 1;
      }
      if (byte === QUOTE) inString = true;
      else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) depth += 1;
      else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) depth -= 1;
      ended = ends && depth === 0;
    }
    part.add(piece.subarray(start));
  }
  if (!ended) throw fail('the array does not end; is the file truncated?');
}
