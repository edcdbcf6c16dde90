export { byteTokenizerFiles, byteTokenizerJson } from './byte-level';
export type { DecodeOptions, StreamDecoder, Tokenizer, TokenizerFiles } from './interface';
export { createTokenizer, loadTokenizer, saveTokenizer } from './load';
export { encodingVersion } from './version';
