import { integer, JSON_FLAG, string, strings, type Flags, type Values } from './flags';

const FLAGS = {
  size: integer('most tokens of the draft vocabulary (default 32768)'),
  exclude: strings('GLOB', 'files to exclude; may be repeated'),
  'text-field': string('NAME', 'field that holds the text in JSON lines and arrays (default text)'),
  cache: string('DIR', 'directory that keeps the tokenized text (default: none)', {
    option: 'cacheDirectory',
  }),
  ...JSON_FLAG,
} satisfies Flags;

export const DRAFT_VOCABULARY = {
  name: 'draft-vocabulary',
  positionals: 'MODEL TEXT…',
  summary:
    "Lets a model's heads propose only the most frequent tokens of a text, which makes drafts of large vocabularies cheaper and changes no output. Writes the list into the model's directory.",
  example: "foretoken draft-vocabulary models/first 'docs/**/*.md' --size 16384",
  flags: FLAGS,
} as const;

export type DraftVocabularyValues = Values<typeof FLAGS>;
