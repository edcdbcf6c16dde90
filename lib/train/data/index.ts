export {
  checkRowsFit,
  MOST_ROWS,
  PackedRows,
  splitHeldOut,
  type PackedBatch,
  type PackedRowsOptions,
  type TokenRange,
} from './packed-rows';
export { prepareCorpus, type CorpusOptions, type CorpusProgress } from './prepare';
export { RowOrder, type OrderState } from './row-order';
export { supersededTokenFiles } from './token-cache';
export { TokenFile, writeTokenFile } from './token-file';
