import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ForetokenError } from '../../errors';
import { isJsonObject, readJson } from '../../files';
import type { Json } from '../fields';
import type { ModelSource } from '../model-source';
import { readSafetensors } from '../safetensors';
import { readTokenizerFiles } from '../tokenizer';

export const CONFIG_NAME = 'config.json';
export const GENERATION_NAME = 'generation_config.json';

/**
 * Opens a model's directory as Hugging Face lays it out: config.json, model.safetensors or shards with an index, tokenizer.json, and
 * other files that may be missing.
 * @throws FILE_ACCESS, CORRUPT_FILE, INVALID_CONFIG naming the file
 */
export async function openDirectory(directory: string): Promise<ModelSource> {
  const configPath = join(directory, CONFIG_NAME);
  const config = await readObject(configPath);
  const generationPath = join(directory, GENERATION_NAME);
  const hasGeneration = await stat(generationPath).catch(() => undefined);
  const generationConfig = hasGeneration ? await readObject(generationPath) : null;
  const tokenizerFiles = await readTokenizerFiles(directory);
  const weights = await readSafetensors(directory);
  return { path: directory, configPath, config, generationConfig, tokenizerFiles, weights };
}

async function readObject(path: string): Promise<Json> {
  const json = await readJson(path);
  if (isJsonObject(json)) return json;
  throw new ForetokenError('INVALID_CONFIG', `${path}: not a JSON object`);
}
