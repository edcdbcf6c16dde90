/**
 * Streaming generation: pieces of text as they are made, stopped by a stop string, a limit or an AbortSignal, with
 * statistics at the end. Run the quickstart first; it leaves a trained model.
 *
 *   node --require ./scripts/typescript-hook.js examples/stream.ts [MODEL]
 */
import { LanguageModel } from '../lib';

async function main(directory = '.foretoken/quickstart/model'): Promise<void> {
  using model = await LanguageModel.load(directory, 'cpu');
  const generation = model.generate('    interface Node {\n', {
    temperature: 0.7,
    seed: 7,
    maxTokens: 400,
    stop: '\n    }',
    signal: AbortSignal.timeout(60_000),
  });
  for await (const { text } of generation) process.stdout.write(text);
  const { tokensPerStep, tokensPerSecond, finishReason } = generation.stats;
  console.log(
    `\n${tokensPerSecond.toFixed(0)} tokens/s, ${tokensPerStep.toFixed(2)} tokens per step, ${finishReason}`,
  );
}

void main(process.argv[2]);
