import { buffer } from 'node:stream/consumers';
import { generate, type GeneratedPiece } from '../decode/generate';
import type { GenerateStats } from '../decode/generate-stats';
import type { GenerateOptions, Speculation } from '../decode/options';
import { findModel, loadModel } from '../model/checkpoint';
import { readText } from '../model/files';
import { decodeUtf8 } from '../utf8';
import { openCommandDevice } from './open-device';
import { DEVICE_FLAGS, JSON_FLAG, onlyPositional, parseCommand, parseNumber, UsageError } from './arguments';
import type { Flags, Values } from './arguments';
import { showGeneration } from './show-generation';
import { interruptible } from './signals';

const FLAGS = {
  prompt: { type: 'string', short: 'p', value: 'TEXT', help: 'text to continue' },
  'prompt-file': { type: 'string', value: 'FILE', help: 'the same from a file; - for standard input' },
  'max-tokens': { type: 'integer', short: 'n', value: 'N', help: 'most tokens to generate (default 256)' },
  stop: { type: 'strings', value: 'TEXT', help: 'end right before this text; may be repeated' },
  'ignore-eos': { type: 'boolean', help: 'go on behind the end-of-text token' },
  temperature: { type: 'number', short: 't', value: 'X', help: '0 takes the likeliest token (default 0)' },
  'top-k': { type: 'integer', value: 'N', help: 'draw from the N likeliest tokens (default 0: all)' },
  'top-p': {
    type: 'number',
    value: 'X',
    help: 'draw from the likeliest that reach this probability (default 1)',
  },
  'min-p': {
    type: 'number',
    value: 'X',
    help: 'drop tokens below this share of the likeliest one (default 0)',
  },
  seed: { type: 'integer', value: 'N', help: 'of the random numbers (default 0)' },
  'repetition-penalty': { type: 'number', value: 'X', help: 'over prompt and output (default 1: none)' },
  'frequency-penalty': { type: 'number', value: 'X', help: 'for every time in the output (default 0)' },
  'presence-penalty': { type: 'number', value: 'X', help: 'for being in the output (default 0)' },
  'logit-bias': { type: 'strings', value: 'ID=X', help: 'added to a token; may be repeated' },
  speculation: {
    type: 'string',
    value: 'TREE',
    help: 'none, chain[:DEPTH], full:W,W…, best[:NODES], adaptive[:NODES] (default adaptive)',
  },
  stats: { type: 'boolean', help: 'say at the end what it took' },
  ...DEVICE_FLAGS,
  ...JSON_FLAG,
} as const satisfies Flags;

const COMMAND = {
  name: 'generate',
  positionals: 'MODEL',
  summary: 'Continues a text with a model, or with the newest checkpoint of a training run.',
  example: "foretoken generate runs/first --prompt 'interface Node {' --temperature 0.7 --stats",
  flags: FLAGS,
};

export async function generateCommand(argv: readonly string[]): Promise<number> {
  const parsed = parseCommand(COMMAND, argv);
  if (!parsed) return 0;
  const { values, positionals } = parsed;
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

async function promptOf(values: Values<typeof FLAGS>): Promise<string> {
  const { prompt, 'prompt-file': file } = values;
  if ((prompt === undefined) === (file === undefined)) {
    throw new UsageError('give the text to continue: either --prompt or --prompt-file');
  }
  if (prompt !== undefined) return prompt;
  if (file === '-') return decodeUtf8('standard input', await buffer(process.stdin));
  return readText(file!);
}

function optionsOf(values: Values<typeof FLAGS>): GenerateOptions {
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
