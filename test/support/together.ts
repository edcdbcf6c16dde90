// Texts that share forward passes, and the property that each is the text that it would be alone.
import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { LanguageModel } from '../../lib/decode/language-model';
import type { GenerateOptions } from '../../lib/decode/options';
import type { Device } from '../../lib/tensor/device';
import {
  headKinds,
  modelCases,
  randomModel,
  samplings,
  small,
  speculations,
  tokensOf,
  type ExactCases,
} from './exact';
import { tokenizer } from './training';

interface TextCase {
  prompt: number[];
  options: GenerateOptions;
  /** Turns of the event loop before the text begins. */
  arrival: number;
  /** Turns of the event loop between two pieces. */
  pause: number;
}

function textCases(heads: number, { promptTokens, newTokens, width }: typeof small): fc.Arbitrary<TextCase> {
  return fc.record({
    prompt: fc.array(fc.nat(255), { minLength: 1, maxLength: promptTokens, size: 'max' }),
    options: fc
      .tuple(samplings, fc.option(speculations(heads, width), { nil: 'none' as const }), fc.nat(newTokens))
      .map(([sampling, speculation, maxTokens]) => ({
        ...sampling,
        ...{ speculation, maxTokens, ignoreEos: true },
      })),
    arrival: fc.nat(40),
    pause: fc.nat(2),
  });
}

/** Generates a text beside others. */
async function paced(
  language: LanguageModel,
  { prompt, options, arrival, pause }: TextCase,
): Promise<number[]> {
  const wait = async (turns: number): Promise<void> => {
    for (let turn = 0; turn < turns; turn++) await setImmediate();
  };
  await wait(arrival);
  const tokens: number[] = [];
  for await (const piece of language.generate(prompt, options)) {
    tokens.push(...piece.tokens);
    await wait(pause);
  }
  return tokens;
}

/** Checks random cases: every text is the one that plain decoding gives for it alone, whatever texts come and go beside it. */
export async function checkTogether(
  device: Device,
  { runs, scale = small, kinds = headKinds, dtype }: ExactCases,
): Promise<void> {
  const scenario = modelCases(scale, kinds).chain((model) =>
    fc.record({
      model: fc.constant(model),
      texts: fc.array(textCases(model.numHeads, scale), { minLength: 2, maxLength: 7, size: 'max' }),
    }),
  );
  await fc.assert(
    fc.asyncProperty(scenario, async ({ model: description, texts }) => {
      using language = new LanguageModel(randomModel(device, description, scale, dtype), tokenizer);
      const alone = [];
      for (const { prompt, options } of texts) {
        alone.push(await tokensOf(language.model, prompt, { ...options, speculation: 'none' }));
      }
      expect(await Promise.all(texts.map((text) => paced(language, text)))).toEqual(alone);
    }),
    { numRuns: runs },
  );
}
