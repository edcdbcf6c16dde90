import { byType, isId, type Fields } from './fields';

/** The place of the text among special tokens. */
export const TEXT = 'text';

/** The tokens of a whole text: the text's own and the ids of special tokens around them. */
export type TextTemplate = readonly (typeof TEXT | number)[];

const MAKERS: Readonly<Record<string, (fields: Fields) => TextTemplate>> = {
  Sequence: (fields) =>
    fields
      .objects('processors')
      .map(templateOf)
      .reduce<TextTemplate>(
        (inner, outer) => outer.flatMap((part) => (part === TEXT ? inner : [part])),
        [TEXT],
      ),
  // Changes offsets into the text, which are not kept here.
  ByteLevel: () => [TEXT],
  TemplateProcessing: (fields) => {
    const idsOf = (name: string): number[] =>
      fields.object('special_tokens').object(name).list('ids', 'an id', isId);
    return fields
      .objects('single')
      .flatMap<TextTemplate[number]>((part) =>
        part.has('Sequence') ? [TEXT] : idsOf(part.object('SpecialToken').string('id')),
      );
  },
  BertProcessing: around,
  RobertaProcessing: around,
};

/** Makes the template that the post-processor of a tokenizer.json applies to a single text. */
export function templateOf(fields: Fields): TextTemplate {
  return byType(fields, MAKERS);
}

/** A special token, and what `add_bos_token` or `add_eos_token` of a tokenizer_config.json says about it. */
interface Addition {
  readonly id: number | undefined;
  /** True or false if the file decides, anything else if not. */
  readonly isAdded: unknown;
}

/**
 * Adds to a template the token that begins a text, and the one that ends it, or removes them, as a tokenizer_config.json says. Its
 * word counts more than the tokenizer.json's: many of these lack a template because the code of their model makes one.
 */
export function withSpecialTokens(
  template: TextTemplate,
  { bos, eos }: { bos: Addition; eos: Addition },
): TextTemplate {
  const ids = [...template];
  if (bos.id !== undefined && typeof bos.isAdded === 'boolean') {
    if (ids[0] === bos.id) ids.shift();
    if (bos.isAdded) ids.unshift(bos.id);
  }
  if (eos.id !== undefined && typeof eos.isAdded === 'boolean') {
    if (ids.at(-1) === eos.id) ids.pop();
    if (eos.isAdded) ids.push(eos.id);
  }
  return ids;
}

function around(fields: Fields): TextTemplate {
  const idOf = (key: string): number => {
    const token: unknown = fields.raw(key);
    if (Array.isArray(token) && isId(token[1])) return token[1];
    throw fields.error(`${key} must be a list of a token and its id`);
  };
  return [idOf('cls'), TEXT, idOf('sep')];
}
