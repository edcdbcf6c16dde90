import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { PassThrough, Writable } from 'node:stream';
import { talk } from '../../lib/cli/chat';
import { ChatHistory, chatHistoryFile } from '../../lib/cli/chat-history';
import { runChatCommand } from '../../lib/cli/chat-commands';
import { ChatTerminal } from '../../lib/cli/chat-terminal';
import { Conversation } from '../../lib/cli/conversation';
import type { ChatMessage } from '../../lib/chat';
import type { ChatOptions } from '../../lib/decode/chat';
import type { Generation } from '../../lib/decode/generate';
import { ForetokenError } from '../../lib/errors';
import { saveModel } from '../../lib/model/checkpoint';
import { MtpModel } from '../../lib/model/model';
import { byteTokenizerFiles, createTokenizer } from '../../lib/model/tokenizer';
import { openDevice } from '../../lib/tensor/device';
import { runCli, startCliWith, type Ended } from '../support/cli';
import { TemporaryDirectory } from '../support/temporary';

const temporary = new TemporaryDirectory();

/** Saves a small model, with or without a chat template that writes roles by their first letters. */
async function saveChatModel(hasTemplate = true): Promise<string> {
  const config = {
    eos_token: '<|endoftext|>',
    chat_template: hasTemplate
      ? '{% for m in messages %}{{ m.role[0] }}{{ m.content }};{% endfor %}a'
      : undefined,
  };
  const tokenizer = createTokenizer({
    ...byteTokenizerFiles(),
    'tokenizer_config.json': JSON.stringify(config),
  });
  using device = openDevice('cpu', { threads: 1 });
  using model = new MtpModel(device, {
    ...{ vocabSize: tokenizer.vocabSize, hiddenSize: 16, numHiddenLayers: 1, numAttentionHeads: 2 },
    ...{ maxPositionEmbeddings: 64, mtp: { kind: 'parallel', numHeads: 2 } },
  });
  await saveModel(temporary.at('model'), model, tokenizer);
  return temporary.at('model');
}

/** Answers as a model would, and records what it is given. */
function fakeModel(answer: readonly string[]): {
  chat: (messages: readonly ChatMessage[], options?: ChatOptions) => Generation;
  seen: string[];
} {
  const seen: string[] = [];
  return {
    seen,
    chat: (messages, { signal } = {}) => {
      seen.push(messages.map(({ role, content }) => `${role}: ${String(content)}`).join(' | '));
      return {
        stats: { tokens: answer.length },
        async *[Symbol.asyncIterator]() {
          for (const text of answer) {
            await new Promise(setImmediate);
            signal?.throwIfAborted();
            yield { text, tokens: [1], accepted: 0 };
          }
        },
      } as unknown as Generation;
    },
  };
}

class Screen extends Writable {
  text = '';
  override _write(chunk: Buffer, _: unknown, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

const never = new AbortController().signal;

describe('a conversation', () => {
  it('gives the model all messages, with the system message first, until it is reset', async () => {
    const model = fakeModel(['He', 'llo']);
    const screen = new Screen();
    const conversation = new Conversation(model, {}, 'Be kind');
    await conversation.answer('Hi', screen, never);
    await conversation.answer('Bye', screen, never);
    conversation.reset();
    await conversation.answer('Again', screen, never);
    expect(screen.text).toBe('HelloHelloHello');
    expect(model.seen).toEqual([
      'system: Be kind | user: Hi',
      'system: Be kind | user: Hi | assistant: Hello | user: Bye',
      'system: Be kind | user: Again',
    ]);
  });

  it('keeps the part of an answer that was written before it was stopped, and no message without an answer', async () => {
    const model = fakeModel(['a', 'b', 'c']);
    const controller = new AbortController();
    const stopping = { write: (text: string) => text === 'b' && controller.abort() };
    const conversation = new Conversation(model, {});
    await conversation.answer('one', stopping, controller.signal);
    await conversation.answer('two', stopping, controller.signal);
    await conversation.answer('three', { write: () => true }, never);
    expect(model.seen.at(-1)).toBe('user: one | assistant: ab | user: three');
  });

  it('has commands; a path and a sentence are messages', () => {
    const conversation = new Conversation(fakeModel([]), {});
    expect(runChatCommand('/help', conversation)).toContain('/reset   begins a new conversation');
    expect(runChatCommand('/stats', conversation)).toBe('There is no answer yet.');
    expect(runChatCommand(' /reset ', conversation)).toBe('The conversation begins again.');
    expect(runChatCommand('/rest', conversation)).toBe('There is no command /rest; do you mean /reset?');
    expect(runChatCommand('/xyz', conversation)).toContain('the commands are /reset, /stats, /help');
    for (const line of ['/usr/bin', '/help me', 'help'])
      expect(runChatCommand(line, conversation)).toBeNull();
  });
});

const CTRL_C = '\u0003';
const CTRL_D = '\u0004';

/** Types keys, and leaves time to read them. */
async function typeKeys(input: PassThrough, keys: string): Promise<void> {
  input.write(keys);
  await new Promise((resolve) => setTimeout(resolve, 5));
}

describe('a terminal', () => {
  function open(history: string[] = []) {
    const input = new PassThrough();
    const screen = new Screen();
    const terminal = new ChatTerminal(input, screen, history);
    const type = (keys: string): Promise<void> => typeKeys(input, keys);
    return { terminal, screen, type };
  }

  it('reads lines, and earlier ones by the arrow key', async () => {
    const { terminal, screen, type } = open(['before']);
    const first = terminal.read();
    await type('Hi\r');
    expect(await first).toBe('Hi');
    expect(screen.text).toContain('> ');
    const second = terminal.read();
    await type('\u001b[A\u001b[A!\r');
    expect(await second).toBe('before!');
    terminal[Symbol.dispose]();
    expect(await terminal.read()).toBeNull();
  });

  it('ends by Ctrl-D, and by Ctrl-C twice on an empty line; the first one only empties a line', async () => {
    const { terminal, screen, type } = open();
    const line = terminal.read();
    await type(`abc${CTRL_C}`);
    await type(`d${CTRL_C}`);
    await type(CTRL_C);
    expect(screen.text).toContain('Ctrl-C again or Ctrl-D ends the program.');
    await type('x\r');
    expect(await line).toBe('x');
    const next = terminal.read();
    await type(CTRL_C);
    await type(CTRL_C);
    expect(await next).toBeNull();
    const other = open();
    const end = other.terminal.read();
    await other.type(CTRL_D);
    expect(await end).toBeNull();
  });

  it('stops an answer by Ctrl-C, shows nothing of what is typed meanwhile, and keeps it', async () => {
    const { terminal, screen, type } = open();
    const first = terminal.read();
    await type('Hi\r');
    expect(await first).toBe('Hi');
    const before = screen.text;
    let isStopped = false;
    const answer = terminal.during(async (signal) => {
      await type('next\rmore');
      expect(screen.text).toBe(before);
      await type(CTRL_C);
      isStopped = signal.aborted;
    });
    await answer;
    expect(isStopped).toBe(true);
    expect(await terminal.read()).toBe('next');
    const line = terminal.read();
    await type('!\r');
    expect(await line).toBe('more!');
  });

  it('forgets what was typed during an answer if it is closed meanwhile', async () => {
    const { terminal, type } = open();
    await terminal.during(async () => {
      await type('next\r');
      terminal[Symbol.dispose]();
    });
    expect(await terminal.read()).toBeNull();
  });
});

it('a message that cannot be answered is reported without statistics, and the talk goes on', async () => {
  jest.replaceProperty(process, 'env', { ...process.env, XDG_STATE_HOME: temporary.at('state') });
  const said = jest.spyOn(console, 'error').mockImplementation(() => undefined);
  try {
    const chat = (): Generation => {
      throw new ForetokenError('INVALID_ARGUMENT', 'too long');
    };
    const reader = { conversation: new Conversation({ chat }, {}), showsStats: true };
    const input = new PassThrough();
    const talking = talk(reader, { input, output: new Screen() }, never);
    for (const keys of ['one\r', 'two\r', CTRL_D]) await typeKeys(input, keys);
    await talking;
    expect(said.mock.calls).toEqual([['\ntoo long\n'], ['\ntoo long\n']]);
  } finally {
    jest.restoreAllMocks();
  }
});

describe('the history', () => {
  it('lies with the state of programs, for the user alone', async () => {
    expect(chatHistoryFile({ XDG_STATE_HOME: '/state' })).toBe('/state/foretoken/chat_history');
    expect(chatHistoryFile({ XDG_STATE_HOME: 'relative' })).toMatch(
      /\/\.local\/state\/foretoken\/chat_history$/,
    );
    const file = temporary.at('new/chat_history');
    const history = new ChatHistory(file);
    expect(await history.load()).toEqual([]);
    for (const line of ['one', 'two', 'two', ' ', 'one']) await history.add(line);
    expect(readFileSync(file, 'utf8')).toBe('one\ntwo\none\n');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(await new ChatHistory(file).load()).toEqual(['one', 'two', 'one']);
  });

  it('is cut when it is long, and does without a file that cannot be written', async () => {
    const file = temporary.at('chat_history');
    writeFileSync(file, Array.from({ length: 2500 }, (_, i) => `line ${i}\n`).join(''));
    const lines = await new ChatHistory(file).load();
    expect([lines.length, lines[0]]).toEqual([1000, 'line 2499']);
    expect(readFileSync(file, 'utf8').split('\n').length).toBe(1001);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const nowhere = new ChatHistory(temporary.at('chat_history/below'));
    await nowhere.add('x');
    expect(await nowhere.load()).toEqual([]);
  });
});

describe('foretoken chat', () => {
  /** Runs the command line with a text on standard input. */
  const withInput = (text: string, ...argv: string[]): Promise<Ended> => {
    const { child, ended } = startCliWith({ stdio: 'pipe' }, ...argv);
    child.stdin!.end(text);
    return ended;
  };

  it('answers each line of standard input, without a terminal', async () => {
    const model = await saveChatModel();
    const argv = ['chat', model, '-n', '3', '--logit-bias', '65=1000', '--device', 'cpu', '--threads', '1'];
    const { code, stdout, stderr } = await withInput('Hi\n\n/stats\n/nothing\nHo\n', ...argv, '--stats');
    expect([code, stdout]).toEqual([0, 'AAA\nAAA\n']);
    expect(stderr).toContain('3 tokens in');
    expect(stderr).toContain('There is no command /nothing');
  }, 60_000);

  it('says when a conversation has no room, and ends', async () => {
    const model = await saveChatModel();
    const input = `${'long '.repeat(20)}\n`;
    const { code, stderr } = await withInput(input, 'chat', model, '--device', 'cpu');
    expect([code, stderr]).toEqual([
      1,
      'foretoken: chat: prompt has 103 tokens, but the model has 64 positions\n',
    ]);
  }, 60_000);

  it('refuses a model without a chat template', async () => {
    const model = await saveChatModel(false);
    const { code, stderr } = await runCli('chat', model, '--device', 'cpu');
    expect([code, stderr]).toEqual([
      1,
      `foretoken: ${model} has no chat template; foretoken generate continues a text with it\n`,
    ]);
  });

  it('is a prompt of generate, too', async () => {
    const model = await saveChatModel();
    const argv = [
      'generate',
      model,
      '-p',
      'Hi',
      '-n',
      '2',
      '--logit-bias',
      '65=1000',
      '--device',
      'cpu',
      '--json',
    ];
    const promptTokens = async (...more: string[]): Promise<unknown> => {
      const { stdout } = await runCli(...argv, ...more);
      return (JSON.parse(stdout.trim().split('\n').at(-1)!) as { stats: { promptTokens: number } }).stats
        .promptTokens;
    };
    expect(await promptTokens()).toBe(2);
    expect(await promptTokens('--chat')).toBe('uHi;a'.length);
    expect(await promptTokens('--chat', '--system', 'Be')).toBe('sBe;uHi;a'.length);
    expect((await runCli(...argv, '--system', 'x')).stderr).toContain('--system needs --chat');
  });
});
