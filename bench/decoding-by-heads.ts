import { LanguageModel } from '../lib/decode/language-model';
import type { Speculation } from '../lib/decode/options';
import { bare, indices, rate, sizeFor, type Bench, type Result, type Setup } from './harness';
import { heldOutPrompts, openSources, trainedModel, type Trained } from './trained-models';

/** Numbers of heads, from the paper: 4 for text, 8 for bytes. */
const HEADS = [4, 8];

/** Draft nodes of the trees that are wider than a chain. */
const NODES = [4, 8, 16];

/** One way to decode. */
interface Case {
  params: { n: number; heads: number; tree: string; drafts?: number };
  speculation: Speculation;
}

/** Totals of continuing all prompts once. */
interface Round {
  seconds: number;
  steps: number;
  /** Tokens that the steps committed; the last step of a text may commit more than are wanted. */
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
    const { count, bytes, ...sizes } = sizeFor(setup, {
      cpu: { count: 16, bytes: 64, newTokens: 128, repeats: 9 },
      gpu: { count: 8, bytes: 64, newTokens: 128, repeats: 3 },
      emulated: { count: 1, bytes: 8, newTokens: 8, repeats: 3 },
    });
    const data = await openSources(setup);
    try {
      const prompts = heldOutPrompts(data, count, bytes);
      for (const n of HEADS) {
        const trained = await trainedModel(setup, data, n);
        onHeldOutText(trained, n, dtype).forEach(report);
        using language = await LanguageModel.load(trained.checkpoint, { device, dtype });
        const cases = casesOf(n);
        const rounds = await measure(language, cases, prompts, sizes);
        const tokens = count * sizes.newTokens;
        for (const [c, { params }] of cases.entries()) {
          resultsOf({ ...params, dtype }, tokens, rounds[c]!, rounds[0]!).forEach(report);
        }
        report(await onRandomText(language, cases, { ...sizes, count, bytes }, { n, dtype }));
      }
    } finally {
      await data.close();
    }
  },
};

/**
 * Reports how well the heads predict held-out text. A small model's own text soon repeats itself, which makes it easy to
 * predict, so read the speeds below together with these results.
 */
function onHeldOutText({ parameters, evaluation }: Trained, n: number, dtype: Setup['dtype']): Result[] {
  let perStep = 1;
  return evaluation.heads.flatMap(({ head, loss, acceptance }) => {
    const own = bare('decoding-by-heads/loss', { n, head, dtype }, 'nats', [loss!]);
    // Head 1 verifies and has no acceptance.
    if (!acceptance) {
      const bits = [evaluation.bitsPerByte!];
      return [bare('decoding-by-heads/model', { n, parameters, dtype }, 'bits/byte', bits), own];
    }
    const accepted = acceptance.cumulative!;
    perStep += accepted;
    const chain = { n, heads: head, tree: 'chain', dtype };
    return [
      own,
      bare('decoding-by-heads/acceptance', { n, depth: head - 1, dtype }, 'share', [accepted]),
      bare('decoding-by-heads/tokens-on-text', chain, 'tokens', [perStep]),
    ];
  });
}

/** Measures adaptive speculation after random prompts: if little can be predicted, speculation must cost nothing. */
async function onRandomText(
  language: LanguageModel,
  cases: readonly Case[],
  { count, bytes, ...sizes }: { count: number; bytes: number; newTokens: number; repeats: number },
  params: Result['params'],
): Promise<Result> {
  const all = indices(count * bytes, 256);
  const prompts = Array.from({ length: count }, (_, i) => all.subarray(i * bytes, (i + 1) * bytes));
  const two = [cases[0]!, cases.at(-1)!];
  const [plain, adaptive] = await measure(language, two, prompts, sizes);
  const ratios = adaptive!.map(({ seconds }, i) => plain![i]!.seconds / seconds);
  return bare('decoding-by-heads/random-text-against-plain', { ...params, tree: 'adaptive' }, '×', ratios);
}

/** Plain decoding first, adaptive speculation last. */
function casesOf(n: number): Case[] {
  const chains = Array.from({ length: n - 1 }, (_, i): Case => ({
    params: { n, heads: i + 2, tree: 'chain', drafts: i + 1 },
    speculation: { tree: 'chain', depth: i + 1 },
  }));
  // Best trees choose their depth themselves, so there are no cases with fewer heads.
  const wider = NODES.map((nodes): Case => ({
    params: { n, heads: n, tree: 'best', drafts: nodes },
    speculation: { tree: 'best', nodes },
  }));
  const adaptive: Case = {
    params: { n, heads: n, tree: 'adaptive' },
    speculation: { tree: 'adaptive', maxNodes: Math.max(...NODES) },
  };
  return [
    { params: { n, heads: 1, tree: 'plain', drafts: 0 }, speculation: 'none' },
    ...chains,
    ...wider,
    adaptive,
  ];
}

/** Measures the cases one after another in each round, after an unmeasured first round. */
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
    // All prompts of a case run one after another, as in normal use.
    for (const [c, { params, speculation }] of cases.entries()) {
      for (const [p, prompt] of prompts.entries()) {
        const generation = language.generate(prompt, { maxTokens: newTokens, ignoreEos: true, speculation });
        const tokens: number[] = [];
        for await (const piece of generation) tokens.push(...piece.tokens);
        plain[p] ??= tokens.join();
        if (tokens.join() !== plain[p]) {
          const { n, heads, tree } = params;
          throw new Error(
            `decoding-by-heads: the model of ${n} heads wrote other tokens with ${heads} heads (${tree}) than plainly ` +
              `after prompt ${p}: ${tokens.join()} instead of ${plain[p]}`,
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
 * @param tokens number of new tokens of all prompts together
 * @param plain the rounds of plain decoding
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
  return [
    bare('decoding-by-heads/tokens-per-step', params, 'tokens', perStep),
    rate('decoding-by-heads/speed', params, 'tokens/s', tokens, seconds, null),
    bare('decoding-by-heads/against-plain', params, '×', ratios),
  ];
}
