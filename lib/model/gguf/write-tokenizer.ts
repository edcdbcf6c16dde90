import { ForetokenError } from '../../errors';
import { isJsonObject } from '../../files';
import { parseJson } from '../../json';
import type { ModelConfig } from '../config';
import type { Tokenizer } from '../tokenizer';
import type { MetadataWriter } from './encode';
import { preTokenizerName, SPLIT_DIGITS, SPLIT_GPT2 } from './pre-tokenizers';
import { ENDS, KINDS } from './vocabulary';

type Json = Record<string, unknown>;

function refuse(problem: string): never {
  throw new ForetokenError('UNSUPPORTED', `saveGguf: llama.cpp has no place for ${problem}`);
}

/** The used fields of an added token of a tokenizer.json. */
interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special?: boolean;
}

/** The model of a tokenizer.json that is a byte-pair encoding. */
interface Bpe {
  readonly vocab: Readonly<Record<string, number>>;
  readonly merges: readonly (string | readonly [string, string])[];
  readonly unk_token?: string | null;
  readonly byte_fallback?: boolean;
  readonly ignore_merges?: boolean;
}

/**
 * Writes a tokenizer: its tokens and merges as llama.cpp reads them, and its whole tokenizer.json, which foretoken prefers.
 * @throws UNSUPPORTED for a tokenizer that llama.cpp does not have
 */
export function writeTokenizer(metadata: MetadataWriter, tokenizer: Tokenizer, config: ModelConfig): void {
  const text = tokenizer.files['tokenizer.json'];
  if (text === undefined) refuse('a tokenizer without tokenizer.json');
  const json = parseJson(text) as Json;
  const model = json.model as Json & Bpe;
  if (model.type !== 'BPE') refuse(`a tokenizer of type ${String(model.type)}`);
  const added = ((json.added_tokens ?? []) as AddedToken[]).filter(({ id }) => id < config.vocabSize);
  const { tokens, kinds } = tokensOf(model, added, config.vocabSize);
  const key = (rest: string): string => `tokenizer.ggml.${rest}`;
  const merges = model.merges.map((merge) => (typeof merge === 'string' ? merge : merge.join(' ')));
  if (model.byte_fallback) {
    metadata.string(key('model'), 'llama');
    metadata.string(key('pre'), 'default');
    metadata.float32s(key('scores'), scoresOf(tokens, merges));
    metadata.flag(
      key('add_space_prefix'),
      partsOf(json.normalizer, 'normalizers').some(({ type }) => type === 'Prepend'),
    );
  } else {
    metadata.string(key('model'), 'gpt2');
    metadata.string(key('pre'), preOf(json, model));
    metadata.strings(key('merges'), merges);
  }
  metadata.strings(key('tokens'), tokens);
  metadata.int32s(key('token_type'), kinds);
  writeSpecials(metadata, key, tokenizer, config, { tokens, kinds, unknown: model.unk_token });
  const around = tokensAround(json.post_processor);
  metadata.flag(key('add_bos_token'), around.before);
  metadata.flag(key('add_eos_token'), around.behind);
  writeChatTemplate(metadata, tokenizer);
  metadata.string('tokenizer.huggingface.json', text);
}

/** Lists the tokens of all rows of the embedding, and their kinds. */
function tokensOf(
  { vocab, unk_token: unknown, byte_fallback: hasBytes }: Bpe,
  added: readonly AddedToken[],
  vocabSize: number,
): { tokens: string[]; kinds: number[] } {
  const tokens = Array.from({ length: vocabSize }, (_, id) => `[PAD${id}]`);
  const kinds = new Array<number>(vocabSize).fill(KINDS.unused);
  for (const [token, id] of Object.entries(vocab)) {
    tokens[id] = token;
    kinds[id] = hasBytes && /^<0x[0-9A-F]{2}>$/.test(token) ? KINDS.byte : KINDS.normal;
  }
  for (const { id, content, special } of added) {
    tokens[id] = content;
    kinds[id] = special ? KINDS.control : KINDS.userDefined;
    if (content === unknown) kinds[id] = KINDS.unknown;
  }
  return { tokens, kinds };
}

/** Scores tokens so that those of earlier merges win. */
function scoresOf(tokens: readonly string[], merges: readonly string[]): number[] {
  const first = new Map<string, number>();
  merges.forEach((merge, i) => {
    const space = merge.indexOf(' ', 1);
    const merged = merge.slice(0, space) + merge.slice(space + 1);
    if (!first.has(merged)) first.set(merged, i);
  });
  return tokens.map((token) => -(first.get(token) ?? merges.length));
}

/** Lists the steps of a normalizer or pre-tokenizer, which may be a sequence. */
function partsOf(value: unknown, name: string): Json[] {
  if (!isJsonObject(value)) return [];
  return value.type === 'Sequence' ? (value[name] as Json[]).flatMap((part) => partsOf(part, name)) : [value];
}

/** Finds llama.cpp's name for how a byte-level tokenizer splits words. */
function preOf(json: Json, { ignore_merges: ignoresMerges = false, merges }: Bpe): string {
  // Without merges every way to split gives the same tokens.
  if (merges.length === 0) return 'gpt-2';
  const splits = partsOf(json.pre_tokenizer, 'pretokenizers').flatMap((part) => {
    if (part.type === 'ByteLevel') return part.use_regex === false ? [] : [SPLIT_GPT2];
    if (part.type === 'Digits' && part.individual_digits === true) return [SPLIT_DIGITS];
    const { Regex } = (part.pattern ?? {}) as { Regex?: string };
    return part.type === 'Split' && part.behavior === 'Isolated' && Regex !== undefined ? [Regex] : [''];
  });
  return preTokenizerName(splits, ignoresMerges) ?? refuse('the pre-tokenizer of this tokenizer.json');
}

/** Whether a text gets a token before it and one behind it. */
function tokensAround(processor: unknown): { before: boolean; behind: boolean } {
  const template = partsOf(processor, 'processors').find(({ type }) => type === 'TemplateProcessing');
  const single = ((template?.single ?? []) as Json[]).map((part) => 'SpecialToken' in part);
  if (single.filter(Boolean).length > Number(single[0]) + Number(single.at(-1))) {
    refuse('several special tokens before or behind a text');
  }
  return { before: single[0] ?? false, behind: single.at(-1) ?? false };
}

function writeSpecials(
  metadata: MetadataWriter,
  key: (rest: string) => string,
  { bosId, eosId }: Tokenizer,
  config: ModelConfig,
  { tokens, kinds, unknown }: { tokens: string[]; kinds: number[]; unknown?: string | null },
): void {
  const isFound = (id: number) => kinds[id] === KINDS.control && ENDS.includes(tokens[id]!);
  const ends = [...new Set([...(eosId === undefined ? [] : [eosId]), ...config.eosTokenIds])];
  const [eos, eot, eom, ...more] = [
    ...ends.slice(0, 1),
    ...ends.slice(1).sort((a, b) => Number(isFound(a)) - Number(isFound(b))),
  ];
  if (!more.every(isFound)) refuse(`${ends.length} tokens that end a text`);
  metadata.uint32(key('bos_token_id'), bosId ?? config.bosTokenId ?? undefined);
  metadata.uint32(key('eos_token_id'), eos);
  metadata.uint32(key('eot_token_id'), eot);
  metadata.uint32(key('eom_token_id'), eom);
  if (typeof unknown === 'string') metadata.uint32(key('unknown_token_id'), tokens.indexOf(unknown));
}

function writeChatTemplate(metadata: MetadataWriter, { files }: Tokenizer): void {
  const key = 'tokenizer.chat_template';
  const config = parseJson(files['tokenizer_config.json'] ?? '{}') as Json;
  const template = files['chat_template.jinja'] ?? config.chat_template;
  if (typeof template === 'string') metadata.string(key, template);
  if (!Array.isArray(template)) return;
  const named = (template as { name: string; template: string }[]).filter(({ name }) => name !== 'default');
  const usual = (template as { name: string; template: string }[]).find(({ name }) => name === 'default');
  metadata.string(key, usual?.template);
  metadata.strings(
    'tokenizer.chat_templates',
    named.map(({ name }) => name),
  );
  for (const each of named) metadata.string(`${key}.${each.name}`, each.template);
}
