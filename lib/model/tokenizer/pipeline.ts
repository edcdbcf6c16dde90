import { addedTokenOf, AddedTokens, type AddedToken } from './added-tokens';
import { decoderOf, withSpaces, type DecoderStep } from './decoders';
import { Fields } from './fields';
import { tokenModelOf, type TokenModel } from './models';
import { normalizerOf } from './normalizers';
import { TEXT, templateOf, type TextTemplate } from './post-processors';
import { preTokenizerOf, type PreTokenizer } from './pre-tokenizers';

/** The parts of a tokenizer, in the order in which a text passes them. */
export interface Pipeline {
  readonly added: AddedTokens;
  readonly preTokenize: PreTokenizer;
  readonly model: TokenModel;
  readonly template: TextTemplate;
  readonly decoder: () => DecoderStep;
  /** The token of each id; some ids may be missing. */
  readonly tokens: readonly (string | undefined)[];
  /** Ids of tokens that control the model. */
  readonly specialIds: ReadonlySet<number>;
  /** Finds the id of a token of the vocabulary or an added one. */
  readonly idOf: (token: string) => number | undefined;
}

/**
 * Reads a tokenizer.json. Its parts do what those of the reference implementation do (https://github.com/huggingface/tokenizers).
 * @throws Error naming the part and the field
 */
export function readPipeline(json: Readonly<Record<string, unknown>>): Pipeline {
  const file = new Fields('', json);
  const optional = <T>(key: string, make: (fields: Fields) => T): T | null =>
    file.has(key) ? make(file.object(key)) : null;
  const model = tokenModelOf(file.object('model'));
  const added = file.has('added_tokens')
    ? file.objects('added_tokens').map((fields) => addedTokenOf(fields, model.idOf))
    : [];
  const tokens: (string | undefined)[] = [];
  for (const [token, id] of model.idOf) tokens[id] = token;
  for (const { id, content } of added) tokens[id] ??= content;
  const addedIds = new Map(added.map(({ content, id }) => [content, id]));
  const onlyAdded = new Set([...addedIds.keys()].filter((token) => !model.idOf.has(token)));
  return {
    added: new AddedTokens(added, optional('normalizer', normalizerOf)),
    preTokenize: optional('pre_tokenizer', preTokenizerOf) ?? ((text) => [text]),
    model,
    template: optional('post_processor', templateOf) ?? [TEXT],
    decoder: optional('decoder', (fields) => decoderOf(fields, onlyAdded)) ?? withSpaces,
    tokens,
    specialIds: new Set(added.filter(({ special }: AddedToken) => special).map(({ id }) => id)),
    idOf: (token) => addedIds.get(token) ?? model.idOf.get(token),
  };
}
