import { buffer } from 'node:stream/consumers';
import { generate } from '../decode/generate';
import type { GenerateStats } from '../decode/generate-stats';
import type { GeneratedPiece } from '../decode/output-limiter';
import { readText } from '../files';
import { decodeUtf8 } from '../utf8';
import { openCommandDevice } from './open-device';
import { onlyPositional, UsageError, type Parsed } from './arguments';
import type { GENERATE, GenerateValues } from './generate-flags';
import { generateOptions } from './generate-options';
import { openCommandModel } from './open-model';
import { showGeneration } from './show-generation';
import { interruptible } from './signals';

export async function generateCommand({
  values,
  positionals,
}: Parsed<typeof GENERATE.flags>): Promise<number> {
  const directory = onlyPositional(positionals, 'model: a path, or owner/name of the Hub');
  const prompt = await promptOf(values);
  const options = generateOptions(values);
  using computing = openCommandDevice(values, { masters: false });
  const { model, tokenizer } = await openCommandModel(computing, directory, { masters: false });
  using owned = model;
  return await interruptible(async (signal) => {
    const generation = generate(owned, tokenizer, prompt, { ...options, signal });
    try {
      if (values.json) await printJson(generation);
      else await showGeneration(generation, process.stdout);
    } catch (error) {
      if (!signal.aborted) {
        // Leave the text so far on a line of its own.
        if (!values.json && generation.stats.tokens > 0) process.stdout.write('\n');
        throw error;
      }
    }
    if (values.json) console.log(JSON.stringify({ stats: generation.stats }));
    else process.stdout.write('\n');
    if (values.stats && !values.json) console.error(describe(generation.stats));
  });
}

async function printJson(pieces: AsyncIterable<GeneratedPiece>): Promise<void> {
  for await (const piece of pieces) console.log(JSON.stringify(piece));
}

async function promptOf(values: GenerateValues): Promise<string> {
  const { prompt, 'prompt-file': file } = values;
  if ((prompt === undefined) === (file === undefined)) {
    throw new UsageError(
      "give the text to continue: either --prompt or --prompt-file; --prompt '' begins a new text",
    );
  }
  if (prompt !== undefined) return prompt;
  if (file === '-') return decodeUtf8('standard input', await buffer(process.stdin));
  return readText(file!);
}

function describe(stats: GenerateStats): string {
  const share = (accepted: number): string => `${(100 * accepted).toFixed(0)} %`;
  return [
    `${stats.tokens} tokens in ${stats.decodeSeconds.toFixed(2)} s: ${stats.tokensPerSecond.toFixed(0)} tokens/s`,
    `${stats.steps} steps, ${stats.tokensPerStep.toFixed(2)} tokens per step`,
    `${stats.accepted} of ${stats.drafted} drafts accepted; by depth: ${stats.cumulativeAcceptance.map(share).join(', ')}`,
    `prompt of ${stats.promptTokens} tokens in ${stats.prefillSeconds.toFixed(2)} s; ended by ${stats.finishReason ?? 'nothing yet'}`,
  ].join('\n');
}
