import { join } from 'node:path';
import { check, checker, path as pathChecker, string, type Checker } from '../../check';
import { ForetokenError } from '../../errors';
import { parseJson } from '../../json';
import { isJsonObject, readText, writeFileAtomic } from '../../files';
import { ByteTokenizer, byteLevelSpecials } from './byte-level';
import { GeneralTokenizer } from './general';
import { TOKENIZER, type Tokenizer, type TokenizerFiles } from './interface';
import { readPipeline, type Pipeline } from './pipeline';
import { withSpecialTokens } from './post-processors';

const MAIN_FILE = 'tokenizer.json';
/** Files that name the special tokens, by precedence. Neither is required. */
const CONFIG_FILES = ['tokenizer_config.json', 'special_tokens_map.json'];

/** Files that hold the chat template, if tokenizer_config.json does not. */
const CHAT_FILES = ['chat_template.jinja', 'chat_template.json'];

/** All files of a tokenizer. */
export const TOKENIZER_FILES: readonly string[] = [MAIN_FILE, ...CONFIG_FILES, ...CHAT_FILES];

/**
 * Loads the tokenizer of a model's directory, as Hugging Face writes it.
 * @throws FILE_ACCESS if tokenizer.json cannot be read; INVALID_CONFIG naming a file that is malformed
 */
export async function loadTokenizer(directory: string): Promise<Tokenizer> {
  check('loadTokenizer: directory', directory, pathChecker);
  return createTokenizer(await readTokenizerFiles(directory), directory);
}

/** Reads the files of the tokenizer in a model's directory; throws as {@link loadTokenizer} does. */
export async function readTokenizerFiles(directory: string): Promise<TokenizerFiles> {
  const files: Record<string, string> = {};
  for (const name of TOKENIZER_FILES) {
    try {
      files[name] = await readText(join(directory, name), 'INVALID_CONFIG');
    } catch (error) {
      if (name === MAIN_FILE || !isMissingFile(error)) throw error;
    }
  }
  return files;
}

function isMissingFile(error: unknown): boolean {
  const cause =
    error instanceof ForetokenError ? (error.cause as NodeJS.ErrnoException | undefined) : undefined;
  return cause?.code === 'ENOENT';
}

/** Writes a tokenizer's files into a directory, for `loadTokenizer`. */
export async function saveTokenizer(directory: string, tokenizer: Tokenizer): Promise<void> {
  check('saveTokenizer: directory', directory, pathChecker);
  check('saveTokenizer: tokenizer', tokenizer, TOKENIZER);
  for (const [name, text] of Object.entries(tokenizer.files)) {
    await writeFileAtomic(join(directory, name), text);
  }
}

const FILES: Checker<TokenizerFiles> = checker(
  `the texts of files by name, ${MAIN_FILE} among them`,
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    typeof (value as TokenizerFiles)[MAIN_FILE] === 'string' &&
    Object.values(value).every((text) => typeof text === 'string'),
);

/**
 * Makes a tokenizer from the texts of its files.
 *
 * @param directory directory of the files, for messages
 * @throws INVALID_CONFIG naming the file
 */
export function createTokenizer(files: TokenizerFiles, directory = ''): Tokenizer {
  check('createTokenizer: files', files, FILES);
  check('createTokenizer: directory', directory, string);
  const path = (name: string) => join(directory, name);
  const json = parse(path(MAIN_FILE), files[MAIN_FILE] ?? '');
  const configs = CONFIG_FILES.filter((name) => files[name] !== undefined).map((name) => ({
    path: path(name),
    json: parse(path(name), files[name] ?? ''),
  }));
  let pipeline: Pipeline;
  try {
    pipeline = readPipeline(json);
  } catch (cause) {
    throw invalid(path(MAIN_FILE), (cause as Error).message, { cause });
  }
  const idOf = (key: string): number | undefined => {
    for (const config of configs) {
      const content = tokenContent(config.json[key]);
      if (content === undefined) continue;
      const id = pipeline.idOf(content);
      if (id === undefined)
        throw invalid(config.path, `${key} "${content}" is not in the vocabulary of ${MAIN_FILE}`);
      return id;
    }
    return undefined;
  };
  const [bosId, eosId] = [idOf('bos_token'), idOf('eos_token')];
  const adds = (key: string): unknown => configs.find((config) => config.json[key] !== undefined)?.json[key];
  const template = withSpecialTokens(pipeline.template, {
    bos: { id: bosId, isAdded: adds('add_bos_token') },
    eos: { id: eosId, isAdded: adds('add_eos_token') },
  });
  const specials = byteLevelSpecials(json);
  return specials && template.length === 1
    ? new ByteTokenizer(files, specials, bosId, eosId)
    : new GeneralTokenizer(pipeline, files, bosId, eosId, template);
}

function parse(path: string, text: string): Record<string, unknown> {
  let json: unknown;
  try {
    json = parseJson(text);
  } catch (cause) {
    throw invalid(path, `not JSON: ${(cause as Error).message}`, { cause });
  }
  if (!isJsonObject(json)) throw invalid(path, 'not a JSON object');
  return json;
}

/** Reads the text of a special token, which is a string or an object with `content`. */
function tokenContent(value: unknown): string | undefined {
  const content = isJsonObject(value) ? value.content : value;
  return typeof content === 'string' ? content : undefined;
}

function invalid(path: string, problem: string, options?: ErrorOptions): ForetokenError {
  return new ForetokenError('INVALID_CONFIG', `${path}: ${problem}`, options);
}
