import type { Fields } from './fields';

/** Longest grapheme, in bytes, that is looked up as a whole. */
const LONGEST_GRAPHEME = 5;
/** ASCII that nothing combines with; a part in which graphemes must be found; a line break. */
const RUNS = /(?:(?!\r)[\0-\x7f])+(?![^\0-\x7f])|(?:(?!\r)[\0-\x7f])?[^\0-\x7f]+|\r\n?/g;

/**
 * Makes the normalizer of SentencePiece, whose rules are compiled into a double-array trie: u32 size in bytes, the trie's units,
 * then the replacements, each ended by a zero byte. The rules apply to a grapheme as a whole, else to each of its characters.
 */
export function precompiled(fields: Fields): (text: string) => string {
  const map = Buffer.from(fields.string('precompiled_charsmap'), 'base64');
  const trieBytes = map.length < 4 ? NaN : map.readUInt32LE(0);
  if (!(trieBytes % 4 === 0 && trieBytes > 0 && 4 + trieBytes <= map.length)) {
    throw fields.error('precompiled_charsmap is damaged');
  }
  const units = Uint32Array.from({ length: trieBytes / 4 }, (_, i) => map.readUInt32LE(4 + 4 * i));
  const replacements = map.subarray(4 + trieBytes);
  const known = new Map<string, string | null>();
  const replacementOf = (part: string): string | null => {
    let replacement = known.get(part);
    if (replacement === undefined) {
      const at = firstPrefix(units, Buffer.from(part, 'utf8'));
      replacement = at === null ? null : textAt(replacements, at);
      if (known.size < 100_000) known.set(part, replacement);
    }
    return replacement;
  };
  const byCharacter = (text: string): string => {
    let normalized = '';
    for (const character of text) normalized += replacementOf(character) ?? character;
    return normalized;
  };
  const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' });
  return (text) =>
    text.replace(RUNS, (run) => {
      if (run.charCodeAt(run.length - 1) < 0x80 && run !== '\r\n') return byCharacter(run);
      let normalized = '';
      for (const { segment } of graphemes.segment(run)) {
        const whole = Buffer.byteLength(segment) <= LONGEST_GRAPHEME ? replacementOf(segment) : null;
        normalized += whole ?? byCharacter(segment);
      }
      return normalized;
    });
}

/** Returns the value of the shortest key of the trie that the bytes begin with; null if there is none. */
function firstPrefix(units: Uint32Array, bytes: Uint8Array): number | null {
  const offsetOf = (unit: number): number => (unit >>> 10) << ((unit & 0x200) >>> 6);
  let node = offsetOf(units[0]!);
  for (const byte of bytes) {
    node ^= byte;
    const unit = units[node] ?? 0;
    // The label has a further bit, which marks units that hold values.
    if (byte === 0 || (unit & 0x8000_00ff) !== byte) return null;
    node ^= offsetOf(unit);
    if (unit & 0x100) return (units[node] ?? 0) & 0x7fff_ffff;
  }
  return null;
}

function textAt(texts: Buffer, at: number): string {
  const end = texts.indexOf(0, at);
  return texts.toString('utf8', at, end < 0 ? texts.length : end);
}
