import { LanguageModel } from '../lib/decode/language-model';
import { byteTokenizerFiles, createTokenizer } from '../lib/model/tokenizer';
import { bare, indices, sizeFor, type Bench } from './harness';
import { randomModel } from './models';

/** Numbers of texts that are generated side by side. */
const TEXTS = [1, 8, 64];
const PROMPT = 32;

/** Measures plain decoding of several texts at once: one forward pass reads the weights for all of them. */
export const manyTexts: Bench = {
  name: 'many-texts',
  async run(setup, report) {
    const { size, newTokens, repeats } = sizeFor(setup, {
      // Far larger than the caches, so that reading the weights takes most of a step.
      cpu: { size: { layers: 8, hidden: 1024, vocabSize: 32000 }, newTokens: 48, repeats: 3 },
      gpu: { size: { layers: 16, hidden: 2048, vocabSize: 32000 }, newTokens: 128, repeats: 5 },
      emulated: { size: { layers: 1, hidden: 64, vocabSize: 257 }, newTokens: 2, repeats: 1 },
    });
    const tokenizer = createTokenizer(byteTokenizerFiles());
    const model = randomModel(setup, size, { masters: false });
    using language = new LanguageModel(model, tokenizer);
    const rates = TEXTS.map((): number[] => []);
    // The first round makes the captures.
    for (let round = 0; round <= repeats; round++) {
      for (const [i, texts] of TEXTS.entries()) {
        const seconds = await generate(language, texts, newTokens);
        if (round > 0) rates[i]!.push((texts * newTokens) / seconds);
      }
    }
    const params = { parameters: model.parameters.size, dtype: setup.dtype };
    TEXTS.forEach((texts, i) => {
      report(bare('many-texts/tokens-per-second', { texts, ...params }, 'tokens/s', rates[i]!));
      const gains = rates[i]!.map((rate, round) => rate / rates[0]![round]!);
      report(bare('many-texts/against-one', { texts, ...params }, '×', gains));
    });
  },
};

/** Returns the seconds of the slowest text, without the prompts. */
async function generate(language: LanguageModel, texts: number, maxTokens: number): Promise<number> {
  const prompts = Array.from({ length: texts }, (_, i) => indices(PROMPT + i, 256).subarray(i));
  const options = { maxTokens, ignoreEos: true, speculation: 'none' } as const;
  let slowest = 0;
  for await (const { stats } of language.generateMany(prompts.map((prompt) => ({ prompt, ...options })))) {
    slowest = Math.max(slowest, stats!.decodeSeconds);
  }
  return slowest;
}
