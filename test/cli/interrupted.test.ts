// Ctrl-C while a command tokenizes or evaluates: the command ends at once and leaves nothing behind.
import { existsSync, readdirSync } from 'node:fs';
import os from 'node:os';
import { saveModel } from '../../lib/model/checkpoint';
import { MtpModel } from '../../lib/model/model';
import { openDevice } from '../../lib/tensor/device';
import { runCli, type Ended } from '../support/cli';
import { TemporaryDirectory } from '../support/temporary';
import { tinyModel, tokenizer } from '../support/training';

jest.setTimeout(120_000);
const temporary = new TemporaryDirectory();
let model: string;
let text: string;

beforeEach(async () => {
  model = temporary.at('model');
  using device = openDevice('cpu', { threads: 1 });
  using made = new MtpModel(
    device,
    { ...tinyModel('parallel', 2), vocabSize: tokenizer.vocabSize },
    { seed: 1 },
  );
  await saveModel(model, made, tokenizer);
  // Enough text for several pauses of tokenizing, and minutes of evaluation.
  text = temporary.write(
    'text/many.jsonl',
    `${JSON.stringify({ text: 'All work and no play.' })}\n`.repeat(50_000),
  );
  temporary.write('tmp/.keep', '');
  jest.spyOn(os, 'tmpdir').mockReturnValue(temporary.at('tmp'));
});
afterEach(() => jest.restoreAllMocks());

const filesIn = (directory: string): string[] =>
  existsSync(directory) ? readdirSync(directory, { recursive: true, encoding: 'utf8' }) : [];

/** Runs a command and sends Ctrl-C as soon as the directory has a file of this kind. */
async function interruptedAt(kind: RegExp, directory: string, ...argv: string[]): Promise<Ended> {
  const timer = setInterval(() => {
    if (filesIn(directory).some((name) => kind.test(name))) {
      clearInterval(timer);
      process.emit('SIGINT', 'SIGINT');
    }
  }, 10);
  try {
    return await runCli(...argv);
  } finally {
    clearInterval(timer);
  }
}

it.each([
  ['tokenizing', /\.tmp-corpus-/],
  ['evaluating', /\/corpus-\w+\.tokens$/],
])('Ctrl-C ends eval while %s', async (_, kind) => {
  const { code, stdout, stderr } = await interruptedAt(
    kind,
    temporary.at('tmp'),
    'eval',
    model,
    text,
    '--threads',
    '1',
  );
  expect([code, stdout]).toEqual([130, '']);
  expect(stderr).not.toContain('foretoken');
  expect(filesIn(temporary.at('tmp'))).toEqual(['.keep']);
});

it('Ctrl-C ends eval, which keeps the given cache but no unfinished file', async () => {
  const cache = temporary.at('cache');
  temporary.write('cache/.keep', '');
  const argv = ['eval', model, text, '--cache', cache];
  expect((await interruptedAt(/\.tmp-corpus-/, cache, ...argv)).code).toBe(130);
  expect(filesIn(cache)).toEqual(['.keep']);
});

it('Ctrl-C ends train while tokenizing', async () => {
  const output = temporary.at('run');
  const argv = [
    'train',
    text,
    '-o',
    output,
    '--hidden-size',
    '16',
    '--attention-heads',
    '2',
    '--threads',
    '1',
  ];
  const { code, stdout, stderr } = await interruptedAt(/\.tmp-corpus-/, output, ...argv);
  expect([code, stdout]).toEqual([130, '']);
  expect(stderr).not.toContain('foretoken');
  expect(filesIn(output).filter((name) => /tokens|\.tmp|checkpoint/.test(name))).toEqual([]);
});
