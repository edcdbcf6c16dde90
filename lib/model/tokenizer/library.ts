import { createRequire } from 'node:module';

// The package has a CommonJS build, but declares its types for ES modules only (and in part as `any`), so a plain
// import does not compile.
const requireHere = createRequire(__filename);

/** The used part of `@huggingface/tokenizers`: a pre-tokenizer that translates its pattern. */
interface Library {
  readonly SplitPreTokenizer: new (config: { pattern: { Regex: string }; invert: boolean }) => {
    readonly pattern: RegExp;
  };
}

/**
 * Translates a regular expression of a tokenizer.json, in Oniguruma's syntax, to JavaScript's.
 * @throws SyntaxError for an expression that has no translation
 */
export function compileRegex(source: string): RegExp {
  const { SplitPreTokenizer } = requireHere('@huggingface/tokenizers') as Library;
  return new SplitPreTokenizer({ pattern: { Regex: source }, invert: false }).pattern;
}

/** Reads the version of `@huggingface/tokenizers`. Its package.json is not exported, but lies in the folder above its main file. */
export function libraryVersion(): string {
  const main = requireHere.resolve('@huggingface/tokenizers');
  return (createRequire(main)('../package.json') as { version: string }).version;
}
