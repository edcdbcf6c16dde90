import {
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

const FLAGS = {
  'held-out': number('evaluate only this fraction of the text, from its end (default: all)', {
    option: 'fraction',
  }),
  rows: integer('rows to evaluate, from the beginning, 0 for all (default 256)'),
  'batch-size': integer('rows in a batch (default 8)'),
  'sequence-length': integer('tokens in a row (default 256)', { option: 'rowLength' }),
  exclude: strings('GLOB', 'files to exclude; may be repeated'),
  'split-special-tokens': boolean(
    'take special tokens written in the text, as <|endoftext|>, for plain text',
  ),
  'text-field': string('NAME', 'field that holds the text in JSON lines and arrays (default text)'),
  cache: string('DIR', 'directory that keeps the tokenized text (default: none)', {
    option: 'cacheDirectory',
  }),
  ...DEVICE_FLAGS,
  ...JSON_FLAG,
} satisfies Flags;

export const EVAL = {
  name: 'eval',
  positionals: 'MODEL TEXT…',
  summary: 'Measures how well each head of a model, or of the newest checkpoint of a run, predicts text.',
  example: "foretoken eval runs/first 'docs/**/*.md' --held-out 0.05",
  flags: FLAGS,
} as const;

export type EvalValues = Values<typeof FLAGS>;
