import { bytesOfToken } from './alphabet';
import { byType, type Fields } from './fields';
import { patternOf } from './patterns';
import { prependScheme } from './pre-tokenizers';
import { Utf8Bytes } from './utf8-bytes';

/** Takes the parts of one text as they come: tokens, or what another step made of them. */
interface Step {
  /** Returns the parts that are now certain. */
  push(part: string): readonly string[];
  /** Ends the text: returns the rest. */
  end(): readonly string[];
}

/**
 * A step of a decoder, for one text. `parts` says what it is given: the tokens one by one, or one part for the whole text, of which
 * it gets pieces. The result says what it gives.
 */
type StepMaker = (parts: 'tokens' | 'whole') => { step: Step; gives: 'tokens' | 'whole' };

/**
 * Makes decoders of single texts, each from the tokens of the text, as a tokenizer.json describes.
 * @param added tokens that the model's vocabulary lacks; they are text, not bytes
 */
export function decoderOf(fields: Fields, added: ReadonlySet<string>): () => Step {
  const makers = stepsOf(fields, added);
  return () => {
    let parts: 'tokens' | 'whole' = 'tokens';
    const steps = makers.map((maker) => {
      const { step, gives } = maker(parts);
      parts = gives;
      return step;
    });
    return inSequence(steps);
  };
}

/** Joins tokens with spaces, as tokenizers without a decoder do. */
export function withSpaces(): Step {
  let isFirst = true;
  return {
    push: (token) => {
      const text = isFirst ? token : ` ${token}`;
      isFirst = false;
      return [text];
    },
    end: () => [],
  };
}

export type { Step as DecoderStep };

function stepsOf(fields: Fields, added: ReadonlySet<string>): StepMaker[] {
  const made = byType<StepMaker | StepMaker[]>(fields, {
    Sequence: (sequence) => sequence.objects('decoders').flatMap((decoder) => stepsOf(decoder, added)),
    ByteLevel: () => () => ({ step: byteLevel(added), gives: 'whole' }),
    ...MAKERS,
  });
  return [made].flat();
}

/** Makers of steps that need only their fields. */
const MAKERS: Readonly<Record<string, (fields: Fields) => StepMaker>> = {
  ByteFallback: () => wholeAtEnd(byteFallback),
  Fuse: () => () => ({ step: eachPart((part) => part), gives: 'whole' }),
  Replace: (fields) => {
    const pattern = patternOf(fields);
    const content = fields.string('content');
    return wholeAtEnd(() => eachPart((part) => part.replace(pattern, () => content)));
  },
  Strip: (fields) => {
    const content = fields.string('content');
    const [start, stop] = [fields.integer('start', 0), fields.integer('stop', 0)];
    return (parts) => ({
      step:
        parts === 'whole'
          ? stripWhole(content, start, stop)
          : eachPart((part) => strip(part, content, start, stop)),
      gives: parts,
    });
  },
  Metaspace: (fields) => {
    const replacement = fields.string('replacement', '▁');
    const first = prependScheme(fields) === 'never' ? ' ' : '';
    return wholeAtEnd(() => eachPart((part, i) => part.replaceAll(replacement, i === 0 ? first : ' ')));
  },
  WordPiece: (fields) => {
    const prefix = fields.string('prefix', '##');
    const cleans = fields.boolean('cleanup', true);
    const joined = (part: string, i: number): string =>
      i === 0 ? part : part.startsWith(prefix) ? part.slice(prefix.length) : ` ${part}`;
    return wholeAtEnd(() => eachPart((part, i) => (cleans ? cleanUp(joined(part, i)) : joined(part, i))));
  },
  BPEDecoder: (fields) => {
    const suffix = fields.string('suffix', '</w>');
    return wholeAtEnd(() => wordEnds(suffix));
  },
};

/** Makes a step that treats each part by itself; one part for the whole text is collected first. */
function wholeAtEnd(make: () => Step): StepMaker {
  return (parts) => ({ step: parts === 'whole' ? collect(make()) : make(), gives: parts });
}

function inSequence(steps: readonly Step[]): Step {
  const through = (parts: readonly string[], from: number): readonly string[] =>
    steps.slice(from).reduce((given, step) => given.flatMap((part) => step.push(part)), parts);
  return {
    push: (part) => through([part], 0),
    end: () => steps.flatMap((step, i) => through(step.end(), i + 1)),
  };
}

function collect(step: Step): Step {
  let whole = '';
  return {
    push: (part) => {
      whole += part;
      return [];
    },
    end: () => [...step.push(whole), ...step.end()],
  };
}

function eachPart(convert: (part: string, index: number) => string): Step {
  let index = 0;
  return { push: (part) => [convert(part, index++)], end: () => [] };
}

/** Decodes tokens of GPT-2's alphabet. */
function byteLevel(added: ReadonlySet<string>): Step {
  // A byte order mark is text like any other.
  const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
  return {
    push: (token) => {
      const bytes = added.has(token) ? Buffer.from(token, 'utf8') : bytesOfToken(token);
      return [utf8.decode(bytes, { stream: true })];
    },
    end: () => [utf8.decode()],
  };
}

/** Decodes tokens such as `<0x0A>`, which stand for bytes. Bytes that are no character give a U+FFFD each. */
function byteFallback(): Step {
  const utf8 = new Utf8Bytes();
  return {
    push: (token) => {
      const [, byte] = /^<0x([0-9A-Fa-f]{2})>$/.exec(token) ?? [];
      const parts = byte === undefined ? [utf8.end(), token] : [utf8.push(parseInt(byte, 16))];
      return parts.filter((part) => part !== '');
    },
    end: () => [utf8.end()].filter((part) => part !== ''),
  };
}

function strip(text: string, content: string, start: number, stop: number): string {
  let [from, to] = [0, text.length];
  while (from < start && from < to && text[from] === content) from += 1;
  while (text.length - to < stop && to > from && text[to - 1] === content) to -= 1;
  return text.slice(from, to);
}

/** Strips a text that comes in pieces: holds back what may be its end. */
function stripWhole(content: string, start: number, stop: number): Step {
  let left = start;
  let held = '';
  return {
    push: (piece) => {
      let text = held + piece;
      while (left > 0 && text !== '') {
        const isStripped = text.startsWith(content);
        left = isStripped ? left - 1 : 0;
        if (isStripped) text = text.slice(content.length);
      }
      const certain = strip(text, content, 0, stop);
      held = text.slice(certain.length);
      return [certain];
    },
    end: () => [],
  };
}

/** Decodes tokens of which those that end a word have a suffix: a space follows, except at the end of the text. */
function wordEnds(suffix: string): Step {
  let held: string | null = null;
  return {
    push: (token) => {
      const certain = held === null ? [] : [held.replaceAll(suffix, ' ')];
      held = token;
      return certain;
    },
    end: () => (held === null ? [] : [held.replaceAll(suffix, '')]),
  };
}

/** Removes spaces that English does not have, as BERT's decoder does. */
function cleanUp(text: string): string {
  return text
    .replaceAll(/ ([.?!,])/g, '$1')
    .replaceAll(" ' ", "'")
    .replaceAll(" n't", "n't")
    .replaceAll(/ '(m|s|ve|re)/g, "'$1")
    .replaceAll(' do not', " don't");
}
