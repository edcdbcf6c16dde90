import type { TokenizerFiles } from './tokenizer';
import type { WeightSource } from './weight-source';

/** A model as some format stores it, in the names and conventions of Hugging Face. */
export interface ModelSource {
  /** The directory or file, for messages. */
  readonly path: string;
  /** The file that `config` is from, or that it was translated from, for messages. */
  readonly configPath: string;
  /** config.json. */
  readonly config: Readonly<Record<string, unknown>>;
  /** generation_config.json; null without. */
  readonly generationConfig: Readonly<Record<string, unknown>> | null;
  /** The texts of the tokenizer's files, `tokenizer.json` among them. */
  readonly tokenizerFiles: TokenizerFiles;
  /** The weights; the caller that opened the source closes them. */
  readonly weights: WeightSource;
}
