import { nearestName } from '../nearest-name';
import type { Conversation } from './conversation';
import { describeStats } from './describe-stats';

const COMMANDS: Readonly<Record<string, { help: string; run: (conversation: Conversation) => string }>> = {
  '/reset': {
    help: 'begins a new conversation',
    run: (conversation) => {
      conversation.reset();
      return 'The conversation begins again.';
    },
  },
  '/stats': {
    help: 'shows the statistics of the last answer',
    run: ({ stats }) => (stats ? describeStats(stats) : 'There is no answer yet.'),
  },
  '/help': { help: 'shows this list', run: () => help() },
};

function help(): string {
  const lines = Object.entries(COMMANDS).map(([name, each]) => `${name.padEnd(8)} ${each.help}`);
  return [
    ...lines,
    'Ctrl-C   stops an answer; at an empty prompt, twice, ends the program',
    'Ctrl-D   ends the program',
  ].join('\n');
}

/** Runs a command. Returns what to say about it; null for a line that is a message. */
export function runChatCommand(line: string, conversation: Conversation): string | null {
  const name = line.trim();
  // A line of several words, or with another slash as a path has, is a message.
  if (!/^\/\w*$/.test(name)) return null;
  const names = Object.keys(COMMANDS);
  if (Object.hasOwn(COMMANDS, name)) return COMMANDS[name]!.run(conversation);
  const near = nearestName(name, names);
  return `There is no command ${name}; ${near ? `do you mean ${near}?` : `the commands are ${names.join(', ')}.`}`;
}
