import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { TokenFile, writeTokenFile } from '../../lib/train/data';
import type { Tokenizer } from '../../lib/model/tokenizer';

/** Held-out share of typescript.d.ts, at its end. */
const HELD_OUT = 0.2;

/** How often the documents contain the rest of typescript.d.ts, which is a seventh of the text but resembles the held-out part. */
const REPEATS = 3;

export interface Corpus {
  data: TokenFile;
  /** Held-out share of all tokens, at the end. */
  heldOut: number;
  /** The held-out text. */
  heldOutText: string;
}

/**
 * Tokenizes the declaration files of the TypeScript compiler, a few megabytes of real text on every machine that has this project.
 * typescript.d.ts is last, so that its end can be held out. lib.webworker.d.ts is left out, because it repeats lib.dom.d.ts.
 */
export async function prepareDeclarations(tokenizer: Tokenizer, path: string): Promise<Corpus> {
  const folder = dirname(require.resolve('typescript/lib/typescript.d.ts'));
  const last = 'typescript.d.ts';
  const names = (await readdir(folder)).filter(
    (name) => name.endsWith('.d.ts') && !name.startsWith('lib.webworker') && name !== last,
  );
  const others = await Promise.all(names.sort().map((name) => readFile(join(folder, name), 'utf8')));
  const text = await readFile(join(folder, last), 'utf8');
  const split = Math.floor(text.length * (1 - HELD_OUT));
  const extra = new Array<string>(REPEATS - 1).fill(text.slice(0, split));
  const documents = [...others, ...extra, text].map((document) => tokenizer.encode(document));
  await writeTokenFile(path, tokenizer.vocabSize, documents);
  const data = await TokenFile.open(path);
  const heldOutText = text.slice(split);
  return { data, heldOut: tokenizer.encode(heldOutText).length / data.length, heldOutText };
}
