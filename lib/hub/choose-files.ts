import { ForetokenError } from '../errors';
import { isJsonObject, readJson } from '../files';
import type { HubFile } from './listing';

export const WEIGHTS = 'model.safetensors';
export const INDEX = 'model.safetensors.index.json';

/** The files of a model beside its weights: configuration, tokenizer and chat template. */
const SMALL_FILES = [
  ...['config.json', 'generation_config.json'],
  ...['tokenizer.json', 'tokenizer_config.json', 'tokenizer.model', 'special_tokens_map.json'],
  ...['added_tokens.json', 'vocab.json', 'merges.txt', 'chat_template.json', 'chat_template.jinja'],
];
const MORE_TEMPLATES = /^additional_chat_templates\/[^/]+\.jinja$/;

/**
 * Chooses the files that a model needs: configuration, tokenizer, chat template, and weights in the format of safetensors.
 * @param fetch downloads the index of the shards and returns its path
 * @throws DOWNLOAD_FAILED if there is no such model in the repository
 */
export async function filesOfModel(
  name: string,
  files: readonly HubFile[],
  fetch: (index: HubFile) => Promise<string>,
): Promise<HubFile[]> {
  const named = new Map(files.map((file) => [file.path, file]));
  const small = files.filter(({ path }) => SMALL_FILES.includes(path) || MORE_TEMPLATES.test(path));
  const [single, index] = [named.get(WEIGHTS), named.get(INDEX)];
  const failed: (problem: string) => never = (problem) => {
    throw new ForetokenError('DOWNLOAD_FAILED', `${name} ${problem}`);
  };
  if (named.has('config.json') && single) return [...small, single];
  if (!named.has('config.json') || !index) {
    const quantised = files.filter(({ path }) => path.endsWith('.gguf')).map(({ path }) => path);
    const absent = named.has('config.json') ? `no weights (${WEIGHTS})` : 'no config.json';
    failed(
      quantised.length > 0
        ? `has ${absent}, but GGUF files; choose one with --file: ${listed(quantised)}`
        : `has ${absent}; its files are ${listed(files.map(({ path }) => path))}`,
    );
  }
  const shards = (await shardsIn(await fetch(index))).map(
    (shard) => named.get(shard) ?? failed(`has no ${shard}, which its ${INDEX} names`),
  );
  if (shards.length === 0) failed(`has a ${INDEX} that names no files`);
  return [...small, index, ...shards];
}

/** Reads the names of the shards from an index. */
export async function shardsIn(index: string): Promise<string[]> {
  const json = await readJson(index);
  const map = isJsonObject(json) && isJsonObject(json.weight_map) ? json.weight_map : {};
  return [...new Set(Object.values(map).map(String))];
}

/**
 * Chooses the files that match a pattern.
 * @throws DOWNLOAD_FAILED naming a pattern that no file matches
 */
export function matchingFiles(
  name: string,
  files: readonly HubFile[],
  patterns: readonly string[],
): HubFile[] {
  const chosen = new Set<HubFile>();
  for (const pattern of patterns) {
    const matches = files.filter(({ path }) => matchesPattern(path, pattern));
    if (matches.length === 0) {
      const kind = pattern.includes('*') ? 'no file that matches' : 'no file';
      const names = listed(files.map(({ path }) => path));
      throw new ForetokenError('DOWNLOAD_FAILED', `${name} has ${kind} ${pattern}; its files are ${names}`);
    }
    for (const match of matches) chosen.add(match);
  }
  return [...chosen];
}

/** Whether a name matches a pattern in which * stands for any characters and ? for one, as in Python's huggingface_hub. */
export function matchesPattern(path: string, pattern: string): boolean {
  const escaped = pattern.replace(/[.+^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`^${escaped.replaceAll('*', '.*').replaceAll('?', '.')}$`, 's').test(path);
}

const MOST_NAMES = 30;

function listed(names: readonly string[]): string {
  if (names.length === 0) return 'none';
  const more = names.length - MOST_NAMES;
  return names.slice(0, MOST_NAMES).join(', ') + (more > 0 ? ` and ${more} more` : '');
}
