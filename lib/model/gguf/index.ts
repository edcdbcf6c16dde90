import { stat } from 'node:fs/promises';
import type { ModelSource } from '../model-source';
import { ROPE_FACTORS, translateConfig } from './config';
import { corrupt } from './format';
import { Metadata } from './metadata';
import { GgufFile } from './read';
import { translateTokenizer } from './tokenizer';
import { endTokens, Vocabulary } from './vocabulary';
import { GgufWeights, readTensor } from './weights';

/** Whether a path is meant to be a GGUF file: any file is, because other models are directories, and any path with this ending. */
export async function isGguf(path: string): Promise<boolean> {
  const status = await stat(path).catch(() => undefined);
  return status ? !status.isDirectory() : path.toLowerCase().endsWith('.gguf');
}

/**
 * Opens a GGUF file as a model in the names and conventions of Hugging Face.
 * @throws FILE_ACCESS if the file cannot be read; CORRUPT_FILE, UNSUPPORTED or INVALID_CONFIG naming the tensor or the key
 */
export async function openGguf(path: string): Promise<ModelSource> {
  const file = await GgufFile.open(path);
  try {
    const metadata = new Metadata(path, file.metadata);
    const { architecture, config } = translateConfig(metadata, file.tensors, await ropeFactors(file));
    const vocabulary = new Vocabulary(metadata);
    const tokenizerFiles = translateTokenizer(metadata, vocabulary);
    return {
      path,
      configPath: path,
      config: {
        ...config,
        bos_token_id: vocabulary.special('bos') ?? null,
        eos_token_id: vocabulary.special('eos') ?? null,
      },
      generationConfig: { eos_token_id: endTokens(vocabulary) },
      tokenizerFiles,
      weights: new GgufWeights(file, architecture, config),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function ropeFactors(file: GgufFile): Promise<Float32Array | undefined> {
  const type = file.tensors.get(ROPE_FACTORS)?.type;
  if (type === undefined) return undefined;
  if (type !== 'F32')
    throw corrupt(file.path, `tensor "${ROPE_FACTORS}": its type must be F32, but is ${type}`);
  return (await readTensor(file, ROPE_FACTORS)) as Float32Array;
}
