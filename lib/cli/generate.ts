import { buffer } from 'node:stream/consumers';
import { generate, type GeneratedPiece } from '../decode/generate';
import type { GenerateStats } from '../decode/generate-stats';
import type { GenerateOptions, Speculation } from '../decode/options';
import { findModel, loadModel } from '../model/checkpoint';
import { readText } from '../model/files';
import { decodeUtf8 } from '../utf8';
import { openCommandDevice } from './open-device';
import { onlyPositional, parseNumber, UsageError, type Parsed } from './arguments';
import type { GENERATE, GenerateValues } from './generate-flags';
import { showGeneration } from './show-generation';
import { interruptible } from './signals';

export async function generateCommand({
  values,
  positionals,
}: Parsed<typeof GENERATE.flags>): Promise<number> {
  const directory = onlyPositional(positionals, "model's directory");
  const prompt = await promptOf(values);
  const options = optionsOf(values);
  using computing = openCommandDevice(values, { masters: false });
  const { device, dtype } = computing;
  const { model, tokenizer } = await loadModel(device, await findModel(directory), { dtype, masters: false });
  using owned = model;
  return await interruptible(async (signal) => {
    const generation = generate(owned, tokenizer, prompt, { ...options, signal });
    try {
      if (values.json) await printJson(generation);
      else await showGeneration(generation, process.stdout);
    } catch (error) {
      if (!signal.aborted) throw error;
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
    throw new UsageError('give the text to continue: either --prompt or --prompt-file');
  }
  if (prompt !== undefined) return prompt;
  if (file === '-') return decodeUtf8('standard input', await buffer(process.stdin));
  return readText(file!);
}

function optionsOf(values: GenerateValues): GenerateOptions {
  return {
    maxTokens: values['max-tokens'],
    stop: values.stop,
    ignoreEos: values['ignore-eos'],
    temperature: values.temperature,
    topK: values['top-k'],
    topP: values['top-p'],
    minP: values['min-p'],
    seed: values.seed,
    repetitionPenalty: values['repetition-penalty'],
    frequencyPenalty: values['frequency-penalty'],
    presencePenalty: values['presence-penalty'],
    logitBias: new Map((values['logit-bias'] ?? []).map(biasOf)),
    speculation: values.speculation === undefined ? undefined : speculationOf(values.speculation),
  };
}

function biasOf(given: string): [number, number] {
  const [token, bias] = given.split('=').map(parseNumber);
  if (token === undefined || bias === undefined) {
    throw new UsageError(`--logit-bias must look like 65=-2.5, but is '${given}'`);
  }
  return [token, bias];
}

function speculationOf(given: string): Speculation {
  const [tree = '', detail] = given.split(':');
  const numbers = detail?.split(',').map(parseNumber);
  if (numbers?.some((number) => number === undefined)) {
    throw new UsageError(`--speculation has no number in '${detail}'`);
  }
  const [size] = (numbers ?? []) as number[];
  switch (tree) {
    case 'none':
      return 'none';
    case 'chain':
      return { tree, depth: size };
    case 'full':
      return { tree, widths: (numbers ?? []) as number[] };
    case 'best':
      return { tree, nodes: size };
    case 'adaptive':
      return { tree, maxNodes: size };
    default:
      throw new UsageError(`--speculation must be none, chain, full, best or adaptive, but is '${given}'`);
  }
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
