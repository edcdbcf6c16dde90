import { ForetokenError } from '../errors';
import type { ModelConfig } from './config';
import { withNames } from './huggingface/names';
import { moduleLayout } from './mtp-layouts';
import type { WeightSource } from './weight-source';

// A config.json may say other things about heads and tied embeddings than the tensors beside it: the tensors are right.

/** A configuration, and tensors that fit it. */
export interface Fitted {
  config: ModelConfig;
  weights: WeightSource;
}

const EMBEDDING = 'model.embed_tokens.weight';
const UNEMBEDDING = 'lm_head.weight';

/** Heads that use a single module again: it is trained for the first draft, and each further one is accepted less often. */
const HEADS_OF_ONE_MODULE = 4;

/** Tensors of modules that repeat those of the trunk. */
const COPIES = { 'embed_tokens.weight': EMBEDDING, 'shared_head.head.weight': UNEMBEDDING };

/**
 * Fits a configuration to the tensors of a file, and leaves out tensors that only repeat others.
 * @param hasHeads whether the configuration names heads, as files of foretoken do
 * @throws UNSUPPORTED for modules with an embedding or unembedding of their own
 */
export async function fitToTensors(
  weights: WeightSource,
  config: ModelConfig,
  hasHeads: boolean,
): Promise<Fitted> {
  const fitted = await fitUnembedding({ config, weights });
  return hasHeads ? fitted : fitModules(fitted);
}

/**
 * Decides whether the embedding is the unembedding, too. A file that says so may have another one; that one counts then, as in
 * transformers 5 and in llama.cpp's converter.
 */
async function fitUnembedding({ config, weights }: Fitted): Promise<Fitted> {
  if (!config.tieWordEmbeddings || !weights.has(EMBEDDING) || !weights.has(UNEMBEDDING))
    return { config, weights };
  return (await isAlike(weights, EMBEDDING, UNEMBEDDING))
    ? { config, weights: without(weights, [UNEMBEDDING]) }
    : { config: { ...config, tieWordEmbeddings: false }, weights };
}

/** Makes heads of the modules that a file has, declared or not; modules that it only declares do not exist. */
async function fitModules({ config, weights }: Fitted): Promise<Fitted> {
  const prefixes: string[] = [];
  for (;;) {
    const { prefix } = moduleLayout(config, prefixes.length);
    if (!weights.names.some((name) => name.startsWith(prefix))) break;
    prefixes.push(prefix);
  }
  const modules = prefixes.length;
  if (modules === 0) return { config, weights };
  const copies: string[] = [];
  for (const prefix of prefixes) {
    for (const [name, usual] of Object.entries(COPIES)) {
      const copy = prefix + name;
      if (!weights.has(copy)) continue;
      const original = usual === UNEMBEDDING && config.tieWordEmbeddings ? EMBEDDING : usual;
      if (weights.has(original) && !(await isAlike(weights, copy, original))) {
        const problem = `tensor "${copy}" differs from "${original}", but modules use that of the trunk`;
        throw new ForetokenError('UNSUPPORTED', `${weights.path}: ${config.modelType}: ${problem}`);
      }
      copies.push(copy);
    }
  }
  const numHeads = modules === 1 ? HEADS_OF_ONE_MODULE : modules + 1;
  const mtp = { kind: 'recursive', numHeads, ...(modules > 1 && { modules }) };
  return { config: { ...config, mtp }, weights: without(weights, copies) };
}

function without(weights: WeightSource, left: readonly string[]): WeightSource {
  const kept = weights.names.filter((name) => !left.includes(name));
  return withNames(weights, new Map(kept.map((name) => [name, name])));
}

/** Whether two tensors have the same shape, type and values. */
async function isAlike(weights: WeightSource, a: string, b: string): Promise<boolean> {
  const [infoA, infoB] = [weights.info(a), weights.info(b)];
  if (infoA.dtype !== infoB.dtype || infoA.shape.join() !== infoB.shape.join()) return false;
  return Buffer.compare(await bytesOf(weights, a), await bytesOf(weights, b)) === 0;
}

async function bytesOf(weights: WeightSource, name: string): Promise<Uint8Array> {
  const { buffer, byteOffset, byteLength } = await weights.read(name);
  return new Uint8Array(buffer, byteOffset, byteLength);
}
