import { DEVICE_FLAGS, JSON_FLAG, type Flags, type Values } from './arguments';

const FLAGS = {
  prompt: { type: 'string', short: 'p', value: 'TEXT', help: "text to continue; '' begins from nothing" },
  'prompt-file': { type: 'string', value: 'FILE', help: 'the same from a file; - for standard input' },
  'max-tokens': {
    type: 'integer',
    short: 'n',
    value: 'N',
    help: 'most tokens to generate, all that fit for a large N (default 256)',
  },
  stop: {
    type: 'strings',
    value: 'TEXT',
    help: 'end right before this text, in which \\n, \\t, \\r and \\\\ stand for what they do in code; may be repeated',
  },
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
  seed: { type: 'bigint', value: 'N', help: 'of the random numbers, below 2^64 (default 0)' },
  'repetition-penalty': { type: 'number', value: 'X', help: 'over prompt and output (default 1: none)' },
  'frequency-penalty': { type: 'number', value: 'X', help: 'for every time in the output (default 0)' },
  'presence-penalty': { type: 'number', value: 'X', help: 'for being in the output (default 0)' },
  'logit-bias': {
    type: 'strings',
    value: 'ID=X',
    help: 'added to the logit of a token, -Infinity to rule it out; may be repeated',
  },
  speculation: {
    type: 'string',
    value: 'TREE',
    help: 'none, chain[:DEPTH], full:W,W…, best[:NODES], adaptive[:NODES] (default adaptive)',
  },
  stats: { type: 'boolean', help: 'say at the end what it took' },
  ...DEVICE_FLAGS,
  ...JSON_FLAG,
} as const satisfies Flags;

export const GENERATE = {
  name: 'generate',
  positionals: 'MODEL',
  summary: 'Continues a text with a model, or with the newest checkpoint of a training run.',
  example: "foretoken generate runs/first --prompt 'interface Node {' --temperature 0.7 --stats",
  flags: FLAGS,
} as const;

export type GenerateValues = Values<typeof FLAGS>;
