import { generate } from '../../lib/decode/generate';
import type { GenerateStats } from '../../lib/decode/generate-stats';
import type { GenerateOptions } from '../../lib/decode/options';
import type { MtpModel } from '../../lib/model/model';
import type { Tokenizer } from '../../lib/model/tokenizer';

/** Plain and speculative decoding of the same prompts. */
export interface Comparison {
  identical: boolean;
  /** Tokens per second of speculative over plain decoding, median over the prompts. */
  speedup: number;
  tokensPerStep: number;
  /** Tokens per second, medians over the prompts. */
  plain: number;
  speculative: number;
  /** Time of a speculative step over that of a plain one: tokensPerStep / stepCost is the speedup. */
  stepCost: number;
  /** Draft nodes per step. */
  drafted: number;
}

interface Run {
  tokens: number[];
  stats: GenerateStats;
}

async function run(
  model: MtpModel,
  tokenizer: Tokenizer,
  prompt: string,
  options: GenerateOptions,
): Promise<Run> {
  const generation = generate(model, tokenizer, prompt, options);
  const tokens: number[] = [];
  for await (const piece of generation) tokens.push(...piece.tokens);
  return { tokens, stats: generation.stats };
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[Math.floor((sorted.length - 1) / 2)]! + sorted[Math.ceil((sorted.length - 1) / 2)]!) / 2;
}

/** Decodes each prompt plainly and speculatively, one after the other, so that both see the same state of the machine. */
export async function compare(
  model: MtpModel,
  tokenizer: Tokenizer,
  prompts: readonly string[],
  options: GenerateOptions,
): Promise<Comparison> {
  // A run without measurement warms up the compiler of JavaScript and lets the planner measure its trees.
  for (const prompt of prompts) {
    await run(model, tokenizer, prompt, { ...options, speculation: 'none' });
    await run(model, tokenizer, prompt, options);
  }
  const pairs: { plain: Run; speculative: Run }[] = [];
  for (const prompt of prompts) {
    const plain = await run(model, tokenizer, prompt, { ...options, speculation: 'none' });
    pairs.push({ plain, speculative: await run(model, tokenizer, prompt, options) });
  }
  const rate = ({ stats }: Run): number => stats.tokensPerSecond;
  const sum = (pick: (stats: GenerateStats) => number): number =>
    pairs.reduce((total, { speculative }) => total + pick(speculative.stats), 0);
  const tokensPerStep = sum(({ tokensPerStep, steps }) => tokensPerStep * steps) / sum(({ steps }) => steps);
  const speedup = median(pairs.map(({ plain, speculative }) => rate(speculative) / rate(plain)));
  return {
    identical: pairs.every(({ plain, speculative }) => plain.tokens.join() === speculative.tokens.join()),
    speedup,
    tokensPerStep,
    plain: median(pairs.map(({ plain }) => rate(plain))),
    speculative: median(pairs.map(({ speculative }) => rate(speculative))),
    stepCost: tokensPerStep / speedup,
    drafted: sum(({ drafted }) => drafted) / sum(({ steps }) => steps),
  };
}
