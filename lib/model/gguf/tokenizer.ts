import { show } from '../../check';
import { EMPTY_BPE, type TokenizerFiles } from '../tokenizer';
import type { Metadata } from './metadata';
import { preTokenizer } from './pre-tokenizers';
import { KINDS, type Vocabulary } from './vocabulary';

type Json = Record<string, unknown>;

/**
 * Special tokens of Phi-3's SentencePiece tokenizers that keep the white space behind them. It is dropped behind the others, which files
 * do not say; llama.cpp knows it from the name of the model (src/llama-vocab.cpp).
 */
const PHI3_KEEPS_SPACE = ['<unk>', '<s>', '<|endoftext|>'];

/** The parts of a tokenizer.json that depend on the kind of tokenizer. */
interface Parts {
  readonly model: Json;
  readonly normalizer: Json | null;
  readonly pre_tokenizer: Json | null;
  readonly decoder: Json;
  /** Whether a text begins with the token for that, unless the file says otherwise. */
  readonly addsBos: boolean;
}

/**
 * Translates the tokenizer of a file to the texts of tokenizer.json and tokenizer_config.json. The chat template lies in the latter.
 * @throws INVALID_CONFIG naming the key of the metadata
 */
export function translateTokenizer(metadata: Metadata, vocabulary: Vocabulary): TokenizerFiles {
  const special = (name: 'bos' | 'eos'): string | undefined => {
    const id = vocabulary.special(name);
    return id === undefined ? undefined : vocabulary.tokens[id];
  };
  const config = {
    tokenizer_class: 'PreTrainedTokenizerFast',
    bos_token: special('bos'),
    eos_token: special('eos'),
    clean_up_tokenization_spaces: false,
    chat_template: chatTemplate(metadata),
  };
  // Some writers store a whole tokenizer.json, from which nothing is lost.
  const json =
    metadata.string('tokenizer.huggingface.json') ??
    JSON.stringify(tokenizerJson(metadata, vocabulary, config.bos_token, config.eos_token));
  return { 'tokenizer.json': json, 'tokenizer_config.json': JSON.stringify(config) };
}

/** Collects the chat templates: one text, or several with names. */
function chatTemplate(metadata: Metadata): unknown {
  const main = metadata.string('tokenizer.chat_template');
  const named = (metadata.strings('tokenizer.chat_templates') ?? []).map((name) => ({
    name,
    template: metadata.string(`tokenizer.chat_template.${name}`),
  }));
  if (named.length === 0) return main;
  return [...(main === undefined ? [] : [{ name: 'default', template: main }]), ...named];
}

function tokenizerJson(
  metadata: Metadata,
  vocabulary: Vocabulary,
  bos: string | undefined,
  eos: string | undefined,
): Json {
  const key = 'tokenizer.ggml.model';
  const kind = metadata.required(key, metadata.string(key));
  if (kind !== 'gpt2' && kind !== 'llama')
    metadata.fail(key, `must be "gpt2" or "llama", but is ${show(kind)}`);
  for (const name of ['lowercase', 'strip_accents']) {
    const normalizer = `tokenizer.ggml.normalizer.${name}`;
    if (metadata.flag(normalizer)) metadata.fail(normalizer, 'is true, which is not supported');
  }
  const ids = vocabulary.toIds();
  const isPhi3 = kind === 'llama' && metadata.string('general.architecture') === 'phi3';
  const parts = kind === 'gpt2' ? byteLevel(metadata, ids) : sentencePiece(metadata, vocabulary, ids);
  const added = vocabulary.tokens.flatMap((content, id) => {
    const isSpecial = vocabulary.kind(id) === KINDS.control || vocabulary.kind(id) === KINDS.unknown;
    if (!isSpecial && vocabulary.kind(id) !== KINDS.userDefined) return [];
    return [
      {
        id,
        content,
        single_word: false,
        lstrip: false,
        rstrip: isPhi3 && !PHI3_KEEPS_SPACE.includes(content),
        normalized: false,
        special: isSpecial,
      },
    ];
  });
  const begins = metadata.flag('tokenizer.ggml.add_bos_token') ?? parts.addsBos;
  const ends = metadata.flag('tokenizer.ggml.add_eos_token') ?? false;
  if (begins && bos === undefined)
    metadata.fail('tokenizer.ggml.add_bos_token', 'is true, but the file names no such token');
  if (ends && eos === undefined)
    metadata.fail('tokenizer.ggml.add_eos_token', 'is true, but the file names no such token');
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: parts.normalizer,
    pre_tokenizer: parts.pre_tokenizer,
    post_processor: template(begins ? [bos!] : [], ends ? [eos!] : [], ids),
    decoder: parts.decoder,
    model: parts.model,
  };
}

/** Puts tokens before and behind a text; null without any. */
function template(before: string[], behind: string[], ids: ReadonlyMap<string, number>): Json | null {
  if (before.length + behind.length === 0) return null;
  const tokens = (contents: string[]) => contents.map((id) => ({ SpecialToken: { id, type_id: 0 } }));
  const text = (id: string) => [...tokens(before), { Sequence: { id, type_id: 0 } }, ...tokens(behind)];
  const special = [...new Set([...before, ...behind])];
  return {
    type: 'TemplateProcessing',
    single: text('A'),
    pair: [...text('A'), ...text('B')],
    special_tokens: Object.fromEntries(
      special.map((content) => [content, { id: content, ids: [ids.get(content)], tokens: [content] }]),
    ),
  };
}

/** A byte-pair encoding of bytes, as GPT-2's. */
function byteLevel(metadata: Metadata, ids: ReadonlyMap<string, number>): Parts {
  const { splits, ignoreMerges = false, addsBos = false, composes = false } = preTokenizer(metadata);
  const key = 'tokenizer.ggml.merges';
  const merges = metadata.required(key, metadata.strings(key)).map((merge) => {
    // Not at 0, because a token may begin with a space.
    const space = merge.indexOf(' ', 1);
    if (space < 0) metadata.fail(key, `has ${show(merge)}, which is not two tokens`);
    return [merge.slice(0, space), merge.slice(space + 1)];
  });
  const bytes = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false };
  const split = (Regex: string) => ({
    type: 'Split',
    pattern: { Regex },
    behavior: 'Isolated',
    invert: false,
  });
  return {
    normalizer: composes ? { type: 'NFC' } : null,
    pre_tokenizer: { type: 'Sequence', pretokenizers: [...splits.map(split), bytes] },
    decoder: bytes,
    model: { ...EMPTY_BPE, vocab: Object.fromEntries(ids), merges, ignore_merges: ignoreMerges },
    addsBos,
  };
}

/** SentencePiece's byte-pair encoding of characters, with bytes for characters that are no tokens. */
function sentencePiece(metadata: Metadata, vocabulary: Vocabulary, ids: ReadonlyMap<string, number>): Parts {
  const hasPrefix = metadata.flag('tokenizer.ggml.add_space_prefix') ?? true;
  const replace = (from: string, to: string) => ({ type: 'Replace', pattern: { String: from }, content: to });
  const normalizers = [...(hasPrefix ? [{ type: 'Prepend', prepend: '▁' }] : []), replace(' ', '▁')];
  const strip = hasPrefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : [];
  const unknown = vocabulary.tokens[vocabulary.special('unknown')!]!;
  return {
    normalizer: { type: 'Sequence', normalizers },
    pre_tokenizer: null,
    decoder: {
      type: 'Sequence',
      decoders: [replace('▁', ' '), { type: 'ByteFallback' }, { type: 'Fuse' }, ...strip],
    },
    model: {
      ...EMPTY_BPE,
      vocab: Object.fromEntries(ids),
      merges: mergesByScore(metadata, vocabulary, ids),
      unk_token: unknown,
      fuse_unk: true,
      byte_fallback: true,
    },
    addsBos: true,
  };
}

/**
 * Lists the merges of a vocabulary with scores: every division of a token into two tokens, best score first, as transformers does when
 * it converts a SentencePiece model. If all scores are the same, the first token wins: llama.cpp's converter has no scores for a model
 * without tokenizer.model, whose tokens are in the order of their merges.
 */
function mergesByScore(
  metadata: Metadata,
  vocabulary: Vocabulary,
  ids: ReadonlyMap<string, number>,
): [string, string][] {
  const key = 'tokenizer.ggml.scores';
  const scores = metadata.required(key, vocabulary.scores);
  const areScored = new Set(scores.filter((_, id) => vocabulary.kind(id) === KINDS.normal)).size > 1;
  const merges: { pair: [string, string]; score: number; left: number; right: number }[] = [];
  vocabulary.tokens.forEach((token, id) => {
    if (vocabulary.kind(id) !== KINDS.normal) return;
    const characters = Array.from(token);
    let left = '';
    const found = characters.slice(0, -1).flatMap((character, i) => {
      left += character;
      const right = token.slice(left.length);
      const [leftId, rightId] = [ids.get(left), ids.get(right)];
      if (leftId === undefined || rightId === undefined) return [];
      const pair: [string, string] = [left, right];
      const score = areScored ? scores[id]! : -id;
      return [{ pair, score, left: i + 1, right: characters.length - i - 1, leftId, rightId }];
    });
    merges.push(...found.sort((a, b) => a.leftId - b.leftId || a.rightId - b.rightId));
  });
  merges.sort((a, b) => b.score - a.score || b.left - a.left || b.right - a.right);
  return merges.map(({ pair }) => pair);
}
