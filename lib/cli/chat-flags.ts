import { boolean, DEVICE_FLAGS, integer, string, type Flags } from './flags';
import { GENERATION_FLAGS } from './generate-flags';

export const CHAT = {
  name: 'chat',
  positionals: 'MODEL',
  summary:
    "Talks with a model by its chat template, in a terminal or, if standard input is none, with each line as a message. Lists its commands on '/help'.",
  example: "foretoken chat models/chat --system 'Answer in one sentence.' --temperature 0.7",
  flags: {
    system: string('TEXT', 'the system message'),
    'max-tokens': integer('tokens of an answer at most (default: all that fit)', { short: 'n' }),
    ...GENERATION_FLAGS,
    stats: boolean('print statistics after each answer'),
    ...DEVICE_FLAGS,
  } satisfies Flags,
} as const;
