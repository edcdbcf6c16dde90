import { boolean, JSON_FLAG, type Flags } from './flags';

const FLAGS = {
  measure: boolean('measure the peak rates of each device'),
  ...JSON_FLAG,
} satisfies Flags;

export const DEVICES = {
  name: 'devices',
  positionals: '',
  summary: 'Lists the devices of this machine, and says why others are not available.',
  example: 'foretoken devices --measure',
  flags: FLAGS,
} as const;
