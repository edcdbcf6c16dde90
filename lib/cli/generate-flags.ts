import {
  bigint,
  boolean,
  DEVICE_FLAGS,
  integer,
  JSON_FLAG,
  number,
  string,
  strings,
  type Flags,
  type Values,
} from './flags';

/** Flags of every command that generates text, apart from the number of tokens. */
export const GENERATION_FLAGS = {
  stop: strings('TEXT', 'end right before this text; \\n, \\t, \\r and \\\\ as in code; may be repeated'),
  'ignore-eos': boolean('continue after the end-of-text token'),
  temperature: number('0 takes the most likely token (default 0)', { short: 't' }),
  'top-k': integer('sample from the N most likely tokens (default 0: all)'),
  'top-p': number('sample from the most likely tokens that together reach probability X (default 1)'),
  'min-p': number('drop tokens below this fraction of the highest probability (default 0)'),
  seed: bigint('seed of sampling, below 2^64 (default 0)'),
  'repetition-penalty': number('penalty on tokens of prompt and output (default 1: none)'),
  'frequency-penalty': number('penalty for each occurrence in the output (default 0)'),
  'presence-penalty': number('penalty on tokens of the output (default 0)'),
  'logit-bias': strings('ID=X', 'add X to the logit of a token, -Infinity to forbid it; may be repeated'),
  speculation: string(
    'TREE',
    'none, chain[:DEPTH], full:W,W…, best[:NODES], adaptive[:NODES] (default adaptive)',
  ),
} satisfies Flags;

const FLAGS = {
  prompt: string('TEXT', "text to continue; '' begins a new text", { short: 'p' }),
  'prompt-file': string('FILE', 'read the prompt from a file, - for standard input'),
  chat: boolean("take the prompt for a user's message, and answer it by the model's chat template"),
  system: string('TEXT', 'with --chat: the system message'),
  'max-tokens': integer('tokens to generate at most, all that fit for a large N (default 256)', {
    short: 'n',
  }),
  ...GENERATION_FLAGS,
  stats: boolean('print statistics at the end'),
  ...DEVICE_FLAGS,
  ...JSON_FLAG,
} satisfies Flags;

export const GENERATE = {
  name: 'generate',
  positionals: 'MODEL',
  summary: 'Continues a text with a model, or with the newest checkpoint of a training run.',
  example: "foretoken generate runs/first --prompt 'interface Node {' --temperature 0.7 --stats",
  flags: FLAGS,
} as const;

export type GenerateValues = Values<typeof FLAGS>;
