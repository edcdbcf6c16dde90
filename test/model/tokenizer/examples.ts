import { byteTokenizerJson } from '../../../lib/model/tokenizer';

type Json = Record<string, unknown>;

const special = (id: number, content: string) => ({
  id,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
});

/** Like GPT-2's: bytes, and pairs of bytes, some of which begin or end inside a character. */
export function byteLevelPairs(): Json {
  const json = byteTokenizerJson(['<|endoftext|>']) as Json & { model: { vocab: Record<string, number> } };
  // In the byte alphabet é is Ã ©, and 😀 is ð Ł ĺ Ģ; Ġ is a space.
  const merges = ['h e', 'l l', 'he ll', 'Ġ w', 'Ã ©', 'ð Ł', 'ĺ Ģ', '© Ġ'];
  const vocab = { ...json.model.vocab };
  merges.forEach((pair, i) => (vocab[pair.replace(' ', '')] = 257 + i));
  const preTokenizer = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false };
  return { ...json, pre_tokenizer: preTokenizer, model: { ...json.model, vocab, merges } };
}

/** Like Llama 2's: a space in front, characters without a token as bytes, `<s>` before each text. */
export function byteFallback(): Json {
  const pieces = ['▁', 'a', 'b', '▁a', 'ab', '▁ab', '\ufffd'];
  const bytes = Array.from(
    { length: 256 },
    (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
  );
  const tokens = ['<unk>', '<s>', '</s>', ...bytes, ...pieces];
  return {
    version: '1.0',
    added_tokens: [special(0, '<unk>'), special(1, '<s>'), special(2, '</s>')],
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'Prepend', prepend: '▁' },
        { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
      ],
    },
    pre_tokenizer: null,
    post_processor: {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [],
      special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] } },
    },
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        { type: 'Strip', content: ' ', start: 1, stop: 0 },
      ],
    },
    model: {
      type: 'BPE',
      unk_token: '<unk>',
      fuse_unk: true,
      byte_fallback: true,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: ['▁ a', 'a b', '▁a b'],
    },
  };
}
