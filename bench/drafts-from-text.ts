import type { TokenConstraint } from '../lib/decode/constraint';
import { LanguageModel } from '../lib/decode/language-model';
import type { GenerateOptions } from '../lib/decode/options';
import type { DraftFunction } from '../lib/decode/user-drafts';
import { byteTokenizerFiles, createTokenizer } from '../lib/model/tokenizer';
import { bare, rate, sizeFor, type Bench, type Result } from './harness';
import { randomModel } from './models';
import { KINDS, promptedTexts, type PromptedText } from './repeating-text';

/** Drafts of the user's function at each step. */
const AHEAD = 12;

const tokenizer = createTokenizer(byteTokenizerFiles());

/**
 * Measures drafts without heads, by lookup in prompt and output and by a function of the user's that knows the text that is repeated. A
 * constraint makes the model write given texts, as a good model would; it refuses no draft, so wrong ones cost what they cost otherwise.
 * On text that repeats itself drafts must pay, on other text they must cost nothing.
 */
export const draftsFromText: Bench = {
  name: 'drafts-from-text',
  async run(setup, report) {
    const { size, count, bytes, repeats } = sizeFor(setup, {
      cpu: { size: { layers: 8, hidden: 512, vocabSize: 257 }, count: 2, bytes: 300, repeats: 5 },
      gpu: { size: { layers: 16, hidden: 2048, vocabSize: 257 }, count: 2, bytes: 300, repeats: 5 },
      emulated: { size: { layers: 1, hidden: 64, vocabSize: 257 }, count: 1, bytes: 8, repeats: 1 },
    });
    const model = randomModel(setup, size, { masters: false });
    using language = new LanguageModel(model, tokenizer);
    for (const kind of KINDS) {
      const texts = await promptedTexts(kind, count, bytes);
      const params = { text: kind, parameters: model.parameters.size, dtype: setup.dtype };
      (await measure(language, texts, repeats, params)).forEach(report);
    }
  },
};

/** Any token may follow. */
const ANYTHING: TokenConstraint = { next: () => ANYTHING, allow: (mask) => void mask.fill(-1) };

/** Only the next token of a text may follow the tokens before it; after a wrong token any. */
function writing(tokens: Int32Array, at = 0): TokenConstraint {
  return {
    next: (token) => (token === tokens[at] ? writing(tokens, at + 1) : ANYTHING),
    allow: (mask) => {
      const token = tokens[at]!;
      mask[token >> 5]! |= 1 << (token & 31);
    },
  };
}

/** Drafts what follows in the prompt where the last tokens of the text are found there. */
const copying: DraftFunction = ({ tokens, promptLength }) => {
  const end = tokens.subarray(-6);
  for (let at = promptLength - end.length - 1; at >= 0; at--) {
    if (end.every((token, i) => token === tokens[at + i])) {
      const start = at + end.length;
      return { tokens: tokens.subarray(start, Math.min(promptLength, start + AHEAD)) };
    }
  }
  return null;
};

const WAYS: readonly [string, GenerateOptions][] = [
  ['none', { speculation: 'none' }],
  ['lookup', { speculation: { tree: 'adaptive' } }],
  ['function', { speculation: { tree: 'adaptive' }, draft: copying }],
];

/** Measures the ways to draft one after another in each round, after an unmeasured first round. */
async function measure(
  language: LanguageModel,
  texts: readonly PromptedText[],
  repeats: number,
  params: Result['params'],
): Promise<Result[]> {
  const seconds = WAYS.map((): number[] => []);
  const perStep = WAYS.map((): number[] => []);
  let tokens = 0;
  for (let round = 0; round <= repeats; round++) {
    for (const [w, [drafts, options]] of WAYS.entries()) {
      const total = { seconds: 0, tokens: 0, steps: 0 };
      for (const { prompt, text } of texts) {
        const wanted = tokenizer.encode(text, { addSpecialTokens: false });
        const generation = language.generate(prompt, {
          ...options,
          maxTokens: wanted.length,
          ignoreEos: true,
          constraint: writing(wanted),
        });
        let output = '';
        for await (const piece of generation) output += piece.text;
        if (output !== text)
          throw new Error(`drafts-from-text: ${drafts} wrote ${output} instead of ${text}`);
        total.seconds += generation.stats.decodeSeconds;
        total.tokens += generation.stats.tokens;
        total.steps += generation.stats.steps;
      }
      if (round === 0) continue;
      ({ tokens } = total);
      seconds[w]!.push(total.seconds);
      perStep[w]!.push(total.tokens / total.steps);
    }
  }
  return WAYS.flatMap(([drafts], w) => {
    const ratios = seconds[w]!.map((own, i) => seconds[0]![i]! / own);
    return [
      bare('drafts-from-text/tokens-per-step', { ...params, drafts }, 'tokens', perStep[w]!),
      rate('drafts-from-text/speed', { ...params, drafts }, 'tokens/s', tokens, seconds[w]!, null),
      bare('drafts-from-text/against-plain', { ...params, drafts }, '×', ratios),
    ];
  });
}
