import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Random } from '../lib/random';

/** Ways in which a text repeats itself: a copy with a word replaced, a quotation of random words, records with the same keys. */
export const KINDS = ['edited', 'quoted', 'records'] as const;
export type Kind = (typeof KINDS)[number];

/** A text whose end repeats what was before. */
export interface RepeatingText {
  readonly kind: Kind;
  /** The part that is repeated. */
  readonly original: string;
  readonly repeated: string;
}

/** Bytes of the original. With its repetition it fits into a row of training. */
const BYTES = { least: 80, most: 112 };

/** Makes texts of all kinds, from the declarations that come with TypeScript and from random words. */
export async function repeatingTexts(count: number, seed: number): Promise<RepeatingText[]> {
  const random = new Random(seed, 'repeating texts');
  const source = await declarations();
  return Array.from({ length: count }, (_, i) => {
    const kind = KINDS[i % KINDS.length]!;
    const bytes = BYTES.least + below(random, BYTES.most - BYTES.least);
    if (kind === 'edited') {
      const original = excerpt(random, source, bytes);
      return { kind, original, repeated: edited(random, original) };
    }
    if (kind === 'quoted') {
      const original = randomWords(random, bytes);
      return { kind, original, repeated: original };
    }
    const keys = Array.from({ length: 4 }, () => randomWord(random));
    return { kind, original: record(random, keys), repeated: record(random, keys) };
  });
}

/** Returns the whole text, as models are trained on it. */
export function documentOf({ original, repeated }: RepeatingText): string {
  return `${original}\n${repeated}\n`;
}

async function declarations(): Promise<string> {
  const directory = dirname(require.resolve('typescript/lib/typescript.d.ts'));
  const names = (await readdir(directory)).filter((name) => /^lib\.(dom|es\d+)\b.*\.d\.ts$/.test(name));
  const texts = await Promise.all(names.sort().map((name) => readFile(join(directory, name), 'latin1')));
  return texts.join('').replace(/[^\x20-\x7e]+/g, ' ');
}

function excerpt(random: Random, source: string, bytes: number): string {
  const start = below(random, source.length - bytes);
  return source.slice(start, start + bytes);
}

function randomWords(random: Random, bytes: number): string {
  let text = '';
  while (text.length < bytes) text += `${randomWord(random)} `;
  return text.slice(0, bytes);
}

function record(random: Random, keys: readonly string[]): string {
  return JSON.stringify(Object.fromEntries(keys.map((key) => [key, below(random, 10_000)])));
}

/** Replaces one word. */
function edited(random: Random, text: string): string {
  const words = [...text.matchAll(/[a-z]{3,}/gi)];
  const chosen = words[below(random, words.length)];
  if (!chosen) return text;
  return text.slice(0, chosen.index) + randomWord(random) + text.slice(chosen.index + chosen[0].length);
}

function randomWord(random: Random): string {
  const length = 3 + below(random, 6);
  return Array.from({ length }, () => String.fromCharCode(97 + below(random, 26))).join('');
}

function below(random: Random, limit: number): number {
  return Math.floor(random.uniform() * limit);
}
