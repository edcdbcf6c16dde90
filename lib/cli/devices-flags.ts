import { JSON_FLAG, type CommandLine, type Flags } from './arguments';

export const DEVICES = {
  name: 'devices',
  positionals: '',
  summary: 'Lists the devices that can compute here, and says why others cannot.',
  example: 'foretoken devices --measure',
  flags: {
    measure: { type: 'boolean', help: 'measure what each device can do at most' },
    ...JSON_FLAG,
  },
} as const satisfies CommandLine<Flags>;
