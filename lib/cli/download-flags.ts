import { JSON_FLAG, string, strings, type Flags } from './flags';

const FLAGS = {
  revision: string('REV', 'branch, tag or hash of a commit (default main)'),
  file: strings('PATTERN', 'only files of this name, * for any characters; may be repeated', {
    option: 'files',
  }),
  ...JSON_FLAG,
} satisfies Flags;

export const DOWNLOAD = {
  name: 'download',
  positionals: 'REPO',
  summary:
    'Downloads a model from the Hugging Face Hub into the cache that Python shares. Elsewhere REPO then names the model.',
  example: 'foretoken download Qwen/Qwen3-0.6B',
  flags: FLAGS,
} as const;
