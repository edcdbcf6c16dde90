import { locateModel } from '../hub/locate';
import { findModel } from '../model/checkpoint';
import { isGguf, openGguf } from '../model/gguf';
import { loadModel } from '../model/load';
import type { MtpModel } from '../model/model';
import { createTokenizer, loadTokenizer, type Tokenizer } from '../model/tokenizer';
import { StatusLine } from './status-line';
import type { Computing } from './open-device';

/**
 * Opens a model's directory or GGUF file, the newest checkpoint of a run, or a model in the Hub's cache, and shows progress.
 * @param masters whether the model will be trained
 */
export async function openCommandModel(
  { device, dtype }: Computing,
  path: string,
  { masters }: { masters: boolean },
): Promise<{ model: MtpModel; tokenizer: Tokenizer }> {
  const status = new StatusLine(process.stderr);
  const onProgress = ({ weights, of }: { weights: number; of: number }): void =>
    status.update(`loading ${path}: ${Math.floor((100 * weights) / of)} %`);
  try {
    return await loadModel(device, await findModel(await locateModel(path)), { dtype, masters, onProgress });
  } finally {
    status.clear();
  }
}

/** Opens the tokenizer of a directory or GGUF file, of the newest checkpoint of a run, or of a model in the Hub's cache. */
export async function openCommandTokenizer(path: string): Promise<Tokenizer> {
  const found = await findModel(await locateModel(path, 'tokenizer.json'), 'tokenizer.json');
  if (!(await isGguf(found))) return loadTokenizer(found);
  const { tokenizerFiles, weights } = await openGguf(found);
  await weights.close();
  return createTokenizer(tokenizerFiles, found);
}
