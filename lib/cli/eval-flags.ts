import { DEVICE_FLAGS, JSON_FLAG, type Flags, type Values } from './arguments';

const FLAGS = {
  'held-out': {
    type: 'number',
    option: 'fraction',
    value: 'X',
    help: 'only this part of the text, from its end (default: all)',
  },
  rows: {
    type: 'integer',
    value: 'N',
    help: 'rows to evaluate with, from the beginning, 0 for all (default 256)',
  },
  'batch-size': { type: 'integer', value: 'N', help: 'rows at a time (default 8)' },
  'sequence-length': { type: 'integer', value: 'N', help: 'tokens in a row (default 256)' },
  exclude: { type: 'strings', value: 'GLOB', help: 'files to leave out; may be repeated' },
  'text-field': { type: 'string', value: 'NAME', help: 'field of JSON lines and arrays (default text)' },
  cache: { type: 'string', option: 'cacheDirectory', value: 'DIR', help: 'keep the tokenized text here' },
  ...DEVICE_FLAGS,
  ...JSON_FLAG,
} as const satisfies Flags;

export const EVAL = {
  name: 'eval',
  positionals: 'MODEL TEXT…',
  summary: 'Measures how well each head of a model, or of the newest checkpoint of a run, predicts text.',
  example: "foretoken eval runs/first 'docs/**/*.md' --held-out 0.05",
  flags: FLAGS,
} as const;

export type EvalValues = Values<typeof FLAGS>;
