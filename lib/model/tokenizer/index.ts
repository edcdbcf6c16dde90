export { byteTokenizerFiles, byteTokenizerJson } from './byte-level';
export { EMPTY_BPE } from './empty-bpe';
export {
  TOKENIZER,
  type DecodeOptions,
  type EncodeOptions,
  type StreamDecodeOptions,
  type StreamDecoder,
  type Tokenizer,
  type TokenizerFiles,
} from './interface';
export { joinIds } from './join-ids';
export { createTokenizer, loadTokenizer, readTokenizerFiles, saveTokenizer, TOKENIZER_FILES } from './load';
export { encodingVersion } from './version';
