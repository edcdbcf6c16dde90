import { LanguageModel } from '../lib/decode/language-model';
import type { Speculation } from '../lib/decode/options';
import { median, rate, sizeFor, spread, type Bench, type Result } from './harness';
import { heldOutPrompts, openSources, trainedModel } from './trained-models';

/** Heads of the models: the paper's for text, and its byte-level one. */
const HEADS = [8, 4];

/** Draft nodes of the trees that are wider than a chain. */
const NODES = 16;

/** One way to decode. */
interface Case {
  params: { n: number; heads: number; tree: string };
  speculation: Speculation;
}

/** What continuing all prompts once took and came to. */
interface Round {
  seconds: number;
  steps: number;
  /** What the steps committed; the last one of a text may commit more than is wanted of it. */
  committed: number;
}

/**
 * Self-speculative decoding by the number of heads used, against plain decoding with the same model: the table of Gloeckle
 * et al. 2024, "Better & Faster Large Language Models via Multi-token Prediction". Their goals to beat: 3.05 × with 4 heads,
 * 6.4 × with 8 heads on bytes.
 */
export const decodingByHeads: Bench = {
  name: 'decoding-by-heads',
  async run(setup, report) {
    const { device, dtype } = setup;
    const data = await openSources(setup);
    try {
      for (const n of HEADS) {
        const { checkpoint, parameters, bitsPerByte } = await trainedModel(setup, data, n);
        report({
          name: 'decoding-by-heads/model',
          params: { n, parameters, dtype },
          unit: 'bits/byte',
          median: bitsPerByte,
          spread: 0,
          ceiling: null,
          fraction: null,
        });
        using language = await LanguageModel.load(checkpoint, { device, dtype });
        const { prompts, ...sizes } = sizeFor(setup, {
          cpu: { prompts: heldOutPrompts(data, 16, 64), newTokens: 128, repeats: 9 },
          gpu: { prompts: heldOutPrompts(data, 16, 64), newTokens: 128, repeats: 9 },
          emulated: { prompts: heldOutPrompts(data, 1, 8), newTokens: 8, repeats: 3 },
        });
        const cases = casesOf(n);
        const rounds = await measure(language, cases, prompts, sizes);
        cases.forEach(({ params }, c) => {
          const tokens = prompts.length * sizes.newTokens;
          for (const result of resultsOf({ ...params, dtype }, tokens, rounds[c]!, rounds[0]!))
            report(result);
        });
      }
    } finally {
      await data.close();
    }
  },
};

/** Plain decoding first. */
function casesOf(n: number): Case[] {
  const chains = Array.from({ length: n - 1 }, (_, i): Case => ({
    params: { n, heads: i + 2, tree: 'chain' },
    speculation: { tree: 'chain', depth: i + 1 },
  }));
  // These choose their depth themselves, so there is no such case for fewer heads.
  const wider: [string, Speculation][] = [
    [`best-${NODES}`, { tree: 'best', nodes: NODES }],
    ['adaptive', { tree: 'adaptive', maxNodes: NODES }],
  ];
  return [
    { params: { n, heads: 1, tree: 'plain' }, speculation: 'none' },
    ...chains,
    ...wider.map(([tree, speculation]): Case => ({ params: { n, heads: n, tree }, speculation })),
  ];
}

/** The rounds of each case, one of each in turns, after a first one that nobody looks at. */
async function measure(
  language: LanguageModel,
  cases: readonly Case[],
  prompts: readonly Int32Array[],
  { newTokens, repeats }: { newTokens: number; repeats: number },
): Promise<Round[][]> {
  const rounds: Round[][] = cases.map(() => []);
  const plain: string[] = [];
  for (let repeat = 0; repeat <= repeats; repeat++) {
    const round = cases.map((): Round => ({ seconds: 0, steps: 0, committed: 0 }));
    for (const [p, prompt] of prompts.entries()) {
      for (const [c, { params, speculation }] of cases.entries()) {
        const generation = language.generate(prompt, { maxTokens: newTokens, ignoreEos: true, speculation });
        const tokens: number[] = [];
        for await (const piece of generation) tokens.push(...piece.tokens);
        plain[p] ??= tokens.join();
        if (tokens.join() !== plain[p]) {
          const { n, heads, tree } = params;
          throw new Error(
            `decoding-by-heads: the model of ${n} heads wrote another text with ${heads} heads (${tree}) than plainly, ` +
              `behind prompt ${p}: ${tokens.join()} and not ${plain[p]}`,
          );
        }
        const { decodeSeconds, steps, tokensPerStep } = generation.stats;
        round[c]!.seconds += decodeSeconds;
        round[c]!.steps += steps;
        round[c]!.committed += tokensPerStep * steps;
      }
    }
    if (repeat > 0) round.forEach((one, c) => rounds[c]!.push(one));
  }
  return rounds;
}

/**
 * @param tokens how many are wanted of all prompts together
 * @param plain the same rounds of plain decoding
 */
function resultsOf(
  params: Result['params'],
  tokens: number,
  rounds: readonly Round[],
  plain: readonly Round[],
): Result[] {
  const seconds = rounds.map((round) => round.seconds);
  const perStep = rounds.map(({ committed, steps }) => committed / steps);
  const ratios = seconds.map((own, i) => plain[i]!.seconds / own);
  const bare = (name: string, unit: string, samples: number[]): Result => {
    return {
      name,
      params,
      unit,
      median: median(samples),
      spread: spread(samples),
      ceiling: null,
      fraction: null,
    };
  };
  return [
    bare('decoding-by-heads/tokens-per-step', 'tokens', perStep),
    rate('decoding-by-heads/speed', params, 'tokens/s', tokens, seconds, null),
    bare('decoding-by-heads/against-plain', '×', ratios),
  ];
}
