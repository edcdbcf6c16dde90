/** The model of a tokenizer.json that is a byte-pair encoding without tokens, to be completed with those and what differs. */
export const EMPTY_BPE = {
  type: 'BPE',
  dropout: null,
  unk_token: null,
  continuing_subword_prefix: null,
  end_of_word_suffix: null,
  fuse_unk: false,
  byte_fallback: false,
  ignore_merges: false,
  vocab: {},
  merges: [],
} as const;
