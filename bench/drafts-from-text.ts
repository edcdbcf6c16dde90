import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { LanguageModel } from '../lib/decode/language-model';
import type { GenerateOptions } from '../lib/decode/options';
import type { DraftFunction } from '../lib/decode/user-drafts';
import { writeFileAtomic } from '../lib/files';
import { byteTokenizerFiles, createTokenizer } from '../lib/model/tokenizer';
import { prepareCorpus, type TokenFile } from '../lib/train/data';
import { bare, rate, sizeFor, type Bench, type Result, type Setup } from './harness';
import { documentOf, KINDS, repeatingTexts, type RepeatingText } from './repeating-text';
import { trainedModel } from './trained-models';

/** Bytes of the repetition that the prompt contains, so that the model sees that it begins. */
const BEGUN = 12;
/** Drafts of the user's function at each step. */
const AHEAD = 12;

const tokenizer = createTokenizer(byteTokenizerFiles());

/** Prompts of one kind, and how to continue them. */
interface Task {
  readonly kind: string;
  readonly prompts: readonly { text: string; original: string }[];
  readonly options: GenerateOptions;
}

/**
 * Measures drafts without heads: lookup in prompt and output, and a function of the user's that knows the text which is repeated.
 * On text that repeats itself they must pay, on other text they must cost nothing.
 */
export const draftsFromText: Bench = {
  name: 'drafts-from-text',
  async run(setup, report) {
    const { documents, count, repeats, maxTokens } = sizeFor(setup, {
      cpu: { documents: 20_000, count: 12, repeats: 5, maxTokens: 80 },
      gpu: { documents: 100_000, count: 12, repeats: 5, maxTokens: 80 },
      emulated: { documents: 100, count: 3, repeats: 1, maxTokens: 4 },
    });
    const data = await corpus(setup, documents);
    try {
      const { checkpoint } = await trainedModel(setup, data, 1);
      using language = await LanguageModel.load(checkpoint, { device: setup.device, dtype: setup.dtype });
      const held = await repeatingTexts(KINDS.length * count, 2);
      for (const task of tasksOf(held, maxTokens)) {
        (await measure(language, task, repeats, setup.dtype)).forEach(report);
      }
    } finally {
      await data.close();
    }
  },
};

/** Prepares texts that repeat themselves for training. */
async function corpus({ models }: Setup, documents: number): Promise<TokenFile> {
  await mkdir(models, { recursive: true });
  const path = join(models, 'repeating.jsonl');
  const lines = (await repeatingTexts(documents, 1)).map((text) =>
    JSON.stringify({ text: documentOf(text) }),
  );
  await writeFileAtomic(path, `${lines.join('\n')}\n`);
  return prepareCorpus({ patterns: [path], tokenizer, cacheDirectory: join(models, 'corpus') });
}

function tasksOf(texts: readonly RepeatingText[], maxTokens: number): Task[] {
  const options = { maxTokens, ignoreEos: true };
  const repeating = KINDS.map((kind) => ({
    kind,
    prompts: texts
      .filter((text) => text.kind === kind)
      .map(({ original, repeated }) => ({ text: `${original}\n${repeated.slice(0, BEGUN)}`, original })),
    options,
  }));
  // At a high temperature nothing is written twice.
  const prompts = texts
    .filter(({ kind }) => kind === 'quoted')
    .map(({ original }) => ({ text: original, original: '' }));
  return [...repeating, { kind: 'not repeating', prompts, options: { ...options, temperature: 2, seed: 1 } }];
}

/** Drafts what follows in `original` where the last bytes of the output are found there. */
function copying(original: string): DraftFunction {
  const source = tokenizer.encode(original, { addSpecialTokens: false });
  return ({ tokens }) => {
    const end = tokens.subarray(-4);
    const at = source.findIndex((_, i) => end.every((token, j) => token === source[i + j]));
    return at < 0 ? null : { tokens: source.subarray(at + end.length, at + end.length + AHEAD) };
  };
}

/** Measures the ways to draft one after another in each round, after an unmeasured first round. */
async function measure(
  language: LanguageModel,
  { kind, prompts, options }: Task,
  repeats: number,
  dtype: string,
): Promise<Result[]> {
  const ways: [string, (original: string) => GenerateOptions][] = [
    ['plain', () => ({ speculation: 'none' })],
    ['lookup', () => ({ speculation: { tree: 'adaptive' } })],
    ['function', (original) => ({ speculation: { tree: 'adaptive' }, draft: copying(original) })],
  ];
  const seconds = ways.map((): number[] => []);
  const perStep = ways.map((): number[] => []);
  for (let round = 0; round <= repeats; round++) {
    const outputs = new Map<string, string>();
    for (const [w, [drafts, optionsOf]] of ways.entries()) {
      const total = { seconds: 0, tokens: 0, steps: 0 };
      for (const { text, original } of prompts) {
        const generation = language.generate(text, { ...options, ...optionsOf(original) });
        let output = '';
        for await (const piece of generation) output += piece.text;
        const plain = outputs.get(text) ?? output;
        outputs.set(text, plain);
        if (output !== plain)
          throw new Error(`drafts-from-text: ${drafts} wrote ${output} instead of ${plain}`);
        total.seconds += generation.stats.decodeSeconds;
        total.tokens += generation.stats.tokens;
        total.steps += generation.stats.steps;
      }
      if (round === 0) continue;
      seconds[w]!.push(total.seconds);
      perStep[w]!.push(total.tokens / total.steps);
    }
  }
  const tokens = prompts.length * options.maxTokens!;
  return ways.flatMap(([drafts], w) => {
    const params = { text: kind, drafts, dtype };
    const ratios = seconds[w]!.map((own, i) => seconds[0]![i]! / own);
    return [
      bare('drafts-from-text/tokens-per-step', params, 'tokens', perStep[w]!),
      rate('drafts-from-text/speed', params, 'tokens/s', tokens, seconds[w]!, null),
      bare('drafts-from-text/against-plain', params, '×', ratios),
    ];
  });
}
