import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { TokenFile, writeTokenFile } from '../../lib/train/data';
import type { Tokenizer } from '../../lib/model/tokenizer';

/** Share of typescript.d.ts, from its end, that is not trained on. */
const HELD_OUT = 0.2;

export interface Corpus {
  data: TokenFile;
  /** Share of all tokens, from the end, that is held out. */
  heldOut: number;
  /** The held-out text itself. */
  heldOutText: string;
}

/**
 * The TypeScript declaration files that come with the compiler: a few megabytes of real text on every machine that has
 * this project. typescript.d.ts comes last, so that its end can be held out; lib.webworker.d.ts repeats lib.dom.d.ts.
 */
export async function prepareDeclarations(tokenizer: Tokenizer, path: string): Promise<Corpus> {
  const folder = dirname(require.resolve('typescript/lib/typescript.d.ts'));
  const last = 'typescript.d.ts';
  const names = (await readdir(folder)).filter(
    (name) => name.endsWith('.d.ts') && !name.startsWith('lib.webworker') && name !== last,
  );
  const texts = await Promise.all(
    [...names.sort(), last].map((name) => readFile(join(folder, name), 'utf8')),
  );
  const documents = texts.map((text) => tokenizer.encode(text));
  await writeTokenFile(path, tokenizer.vocabSize, documents);
  const data = await TokenFile.open(path);
  const heldOutTokens = Math.floor(documents.at(-1)!.length * HELD_OUT);
  const text = texts.at(-1)!;
  return { data, heldOut: heldOutTokens / data.length, heldOutText: text.slice(-heldOutTokens) };
}
