import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Random } from '../lib/random';

/**
 * Texts that repeat what their prompt has, and one that does not: a file with some words replaced, a quotation, records with the same
 * keys, random words.
 */
export const KINDS = ['edited file', 'quotation', 'records', 'random words'] as const;
export type Kind = (typeof KINDS)[number];

/** A prompt and the text that follows it. */
export interface PromptedText {
  readonly prompt: string;
  readonly text: string;
}

/** The share of words that an edit replaces. */
const EDITED_SHARE = 0.04;

/** Makes texts of one kind, of about `bytes` bytes each, from the declarations that come with TypeScript and from random words. */
export async function promptedTexts(kind: Kind, count: number, bytes: number): Promise<PromptedText[]> {
  const random = new Random(1, kind);
  const source = await declarations();
  const makers: Record<Kind, () => PromptedText> = {
    'edited file': () => {
      const prompt = excerpt(random, source, bytes);
      return { prompt, text: edited(random, prompt) };
    },
    quotation: () => {
      const prompt = randomWords(random, 2 * bytes);
      const start = prompt.indexOf(' ', below(random, bytes)) + 1;
      return { prompt, text: prompt.slice(start, start + bytes) };
    },
    records: () => {
      const keys = Array.from({ length: 6 }, () => randomWord(random));
      return { prompt: records(random, keys, bytes), text: records(random, keys, bytes) };
    },
    'random words': () => ({ prompt: randomWords(random, bytes), text: randomWords(random, bytes) }),
  };
  return Array.from({ length: count }, makers[kind]);
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

function records(random: Random, keys: readonly string[], bytes: number): string {
  let text = '';
  while (text.length < bytes) {
    text += `${JSON.stringify(Object.fromEntries(keys.map((key) => [key, below(random, 10_000)])))}\n`;
  }
  return text;
}

/** Replaces some words. */
function edited(random: Random, text: string): string {
  return text.replace(/[a-z]{3,}/gi, (word) => (random.uniform() < EDITED_SHARE ? randomWord(random) : word));
}

function randomWord(random: Random): string {
  const length = 3 + below(random, 6);
  return Array.from({ length }, () => String.fromCharCode(97 + below(random, 26))).join('');
}

function below(random: Random, limit: number): number {
  return Math.floor(random.uniform() * limit);
}
