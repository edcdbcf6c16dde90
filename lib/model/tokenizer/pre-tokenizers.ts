import { inAlphabet } from './alphabet';
import { byType, type Fields } from './fields';
import { literal, patternOf, WHITE_SPACE, WORD } from './patterns';
import { BEHAVIORS, splitText, type Behavior } from './split';

/**
 * Splits a text into words, within which the model looks for tokens.
 * @param atStart whether the part is the beginning of the whole text
 */
export type PreTokenizer = (text: string, atStart: boolean) => Iterable<string>;

/** Splits of GPT-2: contractions, words, numbers and other characters, each with one leading space, and white space. */
const GPT2 = new RegExp(
  String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^${WHITE_SPACE}\p{L}\p{N}]+|${WHITE_SPACE}+(?!\P{White_Space})|${WHITE_SPACE}+`,
  'gu',
);
const PUNCTUATION = /[!-/:-@[-`{-~\p{P}]/gu;
const NUMERIC = /\p{N}/gu;
const SPACE = new RegExp(WHITE_SPACE, 'gu');

const splitBy =
  (pattern: RegExp, behavior: Behavior, invert = false): PreTokenizer =>
  (text) =>
    splitText(text, pattern, behavior, invert);

const MAKERS: Readonly<Record<string, (fields: Fields) => PreTokenizer>> = {
  Sequence: (fields) => inSequence(fields.objects('pretokenizers').map(preTokenizerOf)),
  ByteLevel: (fields) => {
    const prefixes = fields.boolean('add_prefix_space', true);
    const splits = fields.boolean('use_regex', true);
    return (text) => {
      const prefixed = prefixes && !text.startsWith(' ') ? ` ${text}` : text;
      return splits ? mapped(splitText(prefixed, GPT2, 'Isolated'), inAlphabet) : [inAlphabet(prefixed)];
    };
  },
  Metaspace: metaspace,
  Split: (fields) =>
    splitBy(patternOf(fields), fields.choice('behavior', BEHAVIORS), fields.boolean('invert', false)),
  Punctuation: (fields) => splitBy(PUNCTUATION, fields.choice('behavior', BEHAVIORS, 'Isolated')),
  Digits: (fields) =>
    splitBy(NUMERIC, fields.boolean('individual_digits', false) ? 'Isolated' : 'Contiguous'),
  Whitespace: () => splitBy(new RegExp(`[${WORD}]+|[^${WORD}${WHITE_SPACE}]+`, 'gu'), 'Removed', true),
  WhitespaceSplit: () => splitBy(SPACE, 'Removed'),
  BertPreTokenizer: () => inSequence([splitBy(SPACE, 'Removed'), splitBy(PUNCTUATION, 'Isolated')]),
  CharDelimiterSplit: (fields) => splitBy(literal(fields.string('delimiter')), 'Removed'),
  FixedLength: (fields) => {
    const length = Math.max(1, fields.integer('length', 5));
    return splitBy(new RegExp(`[^]{1,${length}}`, 'gu'), 'Isolated');
  },
};

/** Makes the pre-tokenizer that a tokenizer.json describes. */
export function preTokenizerOf(fields: Fields): PreTokenizer {
  return byType(fields, MAKERS);
}

const PREPEND_SCHEMES = ['always', 'first', 'never'] as const;

/** Reads where SentencePiece's tokenizers put a space in front of a text; older files only say whether. */
export function prependScheme(fields: Fields): (typeof PREPEND_SCHEMES)[number] {
  const older = fields.boolean('add_prefix_space', true) ? 'always' : 'never';
  return fields.choice('prepend_scheme', PREPEND_SCHEMES, older);
}

function metaspace(fields: Fields): PreTokenizer {
  const replacement = fields.string('replacement', '▁');
  const scheme = prependScheme(fields);
  const splits = fields.boolean('split', true);
  const pattern = literal(replacement);
  return (text, atStart) => {
    const written = text.replaceAll(' ', replacement);
    const prefixes = scheme === 'always' || (scheme === 'first' && atStart);
    const prefixed = prefixes && !written.startsWith(replacement) ? replacement + written : written;
    return splits ? splitText(prefixed, pattern, 'MergedWithNext') : [prefixed];
  };
}

function inSequence(steps: readonly PreTokenizer[]): PreTokenizer {
  return (text, atStart) =>
    steps.reduce<Iterable<string>>((parts, step) => each(parts, step, atStart ? text : null), [text]);
}

/** @param start the whole text if the parts are of its beginning, so that the first part may be there, too */
function* each(
  parts: Iterable<string>,
  step: PreTokenizer,
  start: string | null,
): Generator<string, void, undefined> {
  let isFirst = start !== null;
  for (const part of parts) {
    yield* step(part, isFirst && start!.startsWith(part));
    isFirst = false;
  }
}

function* mapped(parts: Iterable<string>, map: (part: string) => string): Generator<string, void, undefined> {
  for (const part of parts) yield map(part);
}
