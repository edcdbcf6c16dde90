export { findCorpusFiles, readDocuments } from './corpus';
export { NO_TARGET, PackedRows, splitHeldOut, type PackedBatch, type TokenRange } from './packed-rows';
export { prepareCorpus, type CorpusOptions } from './prepare';
export { RowOrder, type OrderState } from './row-order';
export { TokenFile, writeTokenFile } from './token-file';
