import { createRequire } from 'node:module';

/** The used part of the `Tokenizer` of `@huggingface/tokenizers`. */
export interface Library {
  encode(
    text: string,
    options: { add_special_tokens: boolean },
  ): { ids: (number | undefined)[]; tokens: string[] };
  decode(ids: number[], options: { clean_up_tokenization_spaces: boolean }): string;
  token_to_id(token: string): number | undefined;
  get_added_tokens_decoder(): Map<number, { special: boolean }>;
  /** `vocab` has the token of each id; some ids may be missing. */
  readonly model: { readonly vocab: readonly (string | undefined)[] };
}

// The package has a CommonJS build, but declares its types for ES modules only (and in part as `any`), so a plain
// import does not compile.
const requireHere = createRequire(__filename);
const tokenizers = requireHere('@huggingface/tokenizers') as {
  Tokenizer: new (tokenizerJson: object, tokenizerConfig: object) => Library;
};

/** Reads the version of `@huggingface/tokenizers`. Its package.json is not exported, but lies in the folder above its main file. */
export function libraryVersion(): string {
  const main = requireHere.resolve('@huggingface/tokenizers');
  return (createRequire(main)('../package.json') as { version: string }).version;
}

/** @throws Error if the library does not accept the objects */
export function createLibrary(tokenizerJson: object, tokenizerConfig: object): Library {
  return new tokenizers.Tokenizer(tokenizerJson, tokenizerConfig);
}
