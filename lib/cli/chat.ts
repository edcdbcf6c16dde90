import { createInterface } from 'node:readline';
import { hasChatTemplate } from '../chat';
import { LanguageModel } from '../decode/language-model';
import { ForetokenError } from '../errors';
import { onlyPositional, type Parsed } from './arguments';
import { runChatCommand } from './chat-commands';
import type { CHAT } from './chat-flags';
import { ChatHistory, chatHistoryFile } from './chat-history';
import { ChatTerminal, type TerminalInput, type TerminalOutput } from './chat-terminal';
import { Conversation } from './conversation';
import { describeStats } from './describe-stats';
import { generateOptions } from './generate-options';
import { openCommandDevice } from './open-device';
import { openCommandModel } from './open-model';
import { interruptible } from './signals';

export async function chatCommand({ values, positionals }: Parsed<typeof CHAT.flags>): Promise<number> {
  const path = onlyPositional(positionals, 'model: a path, or owner/name of the Hub');
  const options = generateOptions({ ...values, 'max-tokens': values['max-tokens'] ?? Infinity });
  using computing = openCommandDevice(values, { masters: false });
  const { model, tokenizer } = await openCommandModel(computing, path, { masters: false });
  using both = new LanguageModel(model, tokenizer);
  if (!hasChatTemplate(tokenizer)) {
    const advice = 'foretoken generate continues a text with it';
    throw new ForetokenError('INVALID_CONFIG', `${path} has no chat template; ${advice}`);
  }
  const conversation = new Conversation(both, options, values.system);
  const reader = { conversation, showsStats: values.stats ?? false };
  const isTerminal = process.stdin.isTTY && process.stdout.isTTY;
  const terminal = { input: process.stdin, output: process.stdout };
  return await interruptible((signal) =>
    isTerminal ? talk(reader, terminal, signal) : answerLines(reader, signal),
  );
}

interface Reader {
  readonly conversation: Conversation;
  readonly showsStats: boolean;
}

interface Terminal {
  readonly input: TerminalInput;
  readonly output: TerminalOutput;
}

/** Answers what a user types, until the end of the input. */
export async function talk(
  { conversation, showsStats }: Reader,
  { input, output }: Terminal,
  signal: AbortSignal,
): Promise<void> {
  const history = new ChatHistory(chatHistoryFile());
  using terminal = new ChatTerminal(input, output, await history.load());
  signal.addEventListener('abort', () => terminal[Symbol.dispose]());
  output.write('Type a message; /help lists the commands.\n');
  for (let line = await terminal.read(); line !== null; line = await terminal.read()) {
    const message = line;
    await history.add(message);
    const said = runChatCommand(message, conversation);
    if (said !== null) {
      output.write(`${said}\n`);
    } else if (message.trim() !== '') {
      await terminal.during(async (stop) => {
        try {
          await conversation.answer(message, output, stop);
          output.write('\n\n');
          if (showsStats) console.error(`${describeStats(conversation.stats!)}\n`);
        } catch (error) {
          // The conversation goes on without the message.
          if (!(error instanceof ForetokenError)) throw error;
          console.error(`\n${error.message}\n`);
        }
      });
    }
  }
}

/** Answers each line of standard input. */
async function answerLines({ conversation, showsStats }: Reader, signal: AbortSignal): Promise<void> {
  const lines = createInterface({ input: process.stdin, crlfDelay: Infinity });
  signal.addEventListener('abort', () => lines.close());
  for await (const line of lines) {
    const said = runChatCommand(line, conversation);
    if (said !== null) console.error(said);
    else if (line.trim() !== '') {
      await conversation.answer(line, process.stdout, signal);
      process.stdout.write('\n');
      if (showsStats) console.error(describeStats(conversation.stats!));
    }
    signal.throwIfAborted();
  }
}
