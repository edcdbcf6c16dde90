/**
 * Generates text as a stream of pieces, until a stop string, a limit or an AbortSignal, and prints statistics at the end. Needs a
 * model, as the quickstart and examples/train.ts leave.
 *
 *   node --require ./scripts/typescript-hook.js examples/stream.ts [MODEL]
 */
import { LanguageModel } from '../lib';

async function main(directory = '.foretoken/quickstart/model'): Promise<void> {
  using model = await LanguageModel.load(directory, 'cpu');
  const prompt = '    interface Node {\n';
  const generation = model.generate(prompt, {
    temperature: 0.7,
    seed: 7,
    maxTokens: 400,
    stop: '\n    }',
    signal: AbortSignal.timeout(60_000),
  });
  process.stdout.write(prompt);
  for await (const { text } of generation) process.stdout.write(text);
  const { tokensPerStep, tokensPerSecond, finishReason } = generation.stats;
  console.log(
    `\n${tokensPerSecond.toFixed(0)} tokens/s, ${tokensPerStep.toFixed(2)} tokens per step, ended by ${finishReason}`,
  );
}

main(process.argv[2]).catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
