import { inAlphabet } from './alphabet';
import { byType, type Fields } from './fields';
import { patternOf, WHITE_SPACE } from './patterns';
import { precompiled } from './precompiled';

/** Changes a text before it is split. */
export type Normalizer = (text: string) => string;

const MAKERS: Readonly<Record<string, (fields: Fields) => Normalizer>> = {
  Sequence: (fields) => {
    const normalizers = fields.objects('normalizers').map(normalizerOf);
    return (text) => normalizers.reduce((normalized, normalizer) => normalizer(normalized), text);
  },
  NFC: () => (text) => text.normalize('NFC'),
  NFD: () => (text) => text.normalize('NFD'),
  NFKC: () => (text) => text.normalize('NFKC'),
  NFKD: () => (text) => text.normalize('NFKD'),
  Lowercase: () => lowercase,
  Strip: (fields) => {
    const [left, right] = [fields.boolean('strip_left'), fields.boolean('strip_right')];
    return (text) => strip(text, left, right);
  },
  StripAccents: () => (text) => text.replace(/\p{M}/gu, ''),
  Prepend: (fields) => {
    const prepended = fields.string('prepend');
    return (text) => (text === '' ? text : prepended + text);
  },
  Replace: (fields) => {
    const pattern = patternOf(fields);
    const content = fields.string('content');
    return (text) => text.replace(pattern, () => content);
  },
  ByteLevel: () => inAlphabet,
  Nmt: () => (text) =>
    text
      .replace(/(?![\0\t\n\f\r\x80-\x8e\x90-\x9e])\p{Cc}/gu, '')
      .replace(/[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/g, ' '),
  Precompiled: precompiled,
  BertNormalizer: bertNormalizer,
};

/** Makes the normalizer that a tokenizer.json describes. */
export function normalizerOf(fields: Fields): Normalizer {
  return byType(fields, MAKERS);
}

/** Converts each character alone: a sigma at the end of a word is like any other. */
function lowercase(text: string): string {
  return text.replaceAll('Σ', 'σ').toLowerCase();
}

function strip(text: string, left: boolean, right: boolean): string {
  const isSpace = (at: number): boolean => /\p{White_Space}/u.test(text.charAt(at));
  let [start, end] = [0, text.length];
  while (left && start < end && isSpace(start)) start += 1;
  while (right && end > start && isSpace(end - 1)) end -= 1;
  return text.slice(start, end);
}

function bertNormalizer(fields: Fields): Normalizer {
  const cleans = fields.boolean('clean_text', true);
  const isolates = fields.boolean('handle_chinese_chars', true);
  const lowers = fields.boolean('lowercase', true);
  const strips = fields.boolean('strip_accents', lowers);
  return (text) => {
    let normalized = text;
    if (cleans) {
      normalized = normalized
        .replace(/(?![\t\n\r])[\p{C}\ufffd]/gu, '')
        .replace(new RegExp(WHITE_SPACE, 'gu'), ' ');
    }
    if (isolates) normalized = normalized.replace(CHINESE, ' $& ');
    if (strips) normalized = normalized.normalize('NFD').replace(/\p{Mn}/gu, '');
    return lowers ? lowercase(normalized) : normalized;
  };
}

/** The blocks of Chinese characters that BERT's tokenizer isolates. */
const CHINESE =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu;
