import { buffer } from 'node:stream/consumers';
import type { ChatMessage } from '../chat';
import { LanguageModel } from '../decode/language-model';
import type { GeneratedPiece } from '../decode/output-limiter';
import { readText } from '../files';
import { decodeUtf8 } from '../utf8';
import { openCommandDevice } from './open-device';
import { describeStats } from './describe-stats';
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
  if (values.system !== undefined && !values.chat) throw new UsageError('--system needs --chat');
  const prompt = await promptOf(values);
  const options = generateOptions(values);
  using computing = openCommandDevice(values, { masters: false });
  const { model, tokenizer } = await openCommandModel(computing, directory, { masters: false });
  using both = new LanguageModel(model, tokenizer);
  return await interruptible(async (signal) => {
    const generation = values.chat
      ? both.chat(firstMessages(prompt, values.system), { ...options, signal })
      : both.generate(prompt, { ...options, signal });
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
    if (values.stats && !values.json) console.error(describeStats(generation.stats));
  });
}

async function printJson(pieces: AsyncIterable<GeneratedPiece>): Promise<void> {
  for await (const piece of pieces) console.log(JSON.stringify(piece));
}

/** Returns the messages of a conversation that begins with a user's message. */
function firstMessages(content: string, system: string | undefined): ChatMessage[] {
  return [...(system === undefined ? [] : [{ role: 'system', content: system }]), { role: 'user', content }];
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
