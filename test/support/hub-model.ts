import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { saveModel } from '../../lib/model/checkpoint';
import { MtpModel } from '../../lib/model/model';
import { openDevice } from '../../lib/tensor/device';
import { tinyModel, tokenizer } from './training';

/** Writes a tiny model into a directory and returns its files. */
export async function modelFiles(directory: string): Promise<Record<string, Buffer>> {
  using device = openDevice('cpu', { threads: 1 });
  const config = { ...tinyModel('parallel', 2), vocabSize: tokenizer.vocabSize };
  using model = new MtpModel(device, config, { seed: 1 });
  await saveModel(directory, model, tokenizer);
  return Object.fromEntries(
    readdirSync(directory).map((name) => [name, readFileSync(join(directory, name))]),
  );
}
