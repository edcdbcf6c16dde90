// foretoken download from outside, and the commands that then take the model's name.
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { runCli, startCliWith, type Ended } from '../support/cli';
import { TestHub } from '../support/hub';
import { modelFiles } from '../support/hub-model';

const hub = new TestHub();

it('prints the path of the model; --json prints its files, too', async () => {
  const { commit } = hub.serveModel();
  const path = join(hub.cache, 'models--owner--tiny/snapshots', commit);
  expect(await runCli('download', 'owner/tiny')).toEqual({ code: 0, stdout: `${path}\n`, stderr: '' });
  const { stdout } = await runCli('download', 'owner/tiny', '--file', '*.md', '--file=config.json', '--json');
  expect(JSON.parse(stdout)).toEqual({ path, commit, files: ['README.md', 'config.json'] });
});

it('takes a revision', async () => {
  hub.serveModel('owner/tiny', { revisions: ['v1'] });
  expect(await runCli('download', 'owner/tiny', '--revision', 'v1')).toMatchObject({ code: 0 });
  expect(await runCli('download', 'owner/tiny')).toEqual({
    code: 1,
    stdout: '',
    stderr: 'foretoken: owner/tiny has no revision "main"\n',
  });
});

it.each([
  [[], 'foretoken: give a model of the Hub: owner/name; see foretoken download --help\n', 2],
  [
    ['a/b', 'c/d'],
    'foretoken: give one model of the Hub: owner/name, not 2; see foretoken download --help\n',
    2,
  ],
  [
    ['tiny'],
    "foretoken: 'tiny' is no model of the Hub; give owner/name or owner/name@revision; see foretoken download --help\n",
    2,
  ],
  [
    ['a/b', '--revision', 'x..y'],
    'foretoken: --revision must be a branch, a tag or the hash of a commit, but is "x..y"\n',
    1,
  ],
])('download %j: exit code and message', async (argv, stderr, code) => {
  expect(await runCli('download', ...argv)).toEqual({ code, stdout: '', stderr });
});

it('generate, eval and train take the name once it is in the cache, and say how to get it before', async () => {
  hub.server.serve('owner/tiny', await modelFiles(hub.at('made')));
  const generate = (): Promise<Ended> =>
    runCli('generate', 'owner/tiny', '--prompt', 'All', '-n', '3', '--json');
  expect(await generate()).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('to get it: foretoken download owner/tiny'),
  });
  expect(hub.server.seen).toEqual([]);
  await runCli('download', 'owner/tiny');
  const requests = hub.server.seen.length;
  expect(await generate()).toMatchObject({ code: 0, stderr: '' });
  const text = hub.write('text.txt', 'All work and no play. '.repeat(400));
  expect(
    await runCli('eval', 'owner/tiny@main', text, '--rows', '1', '--sequence-length', '32'),
  ).toMatchObject({
    code: 0,
  });
  const output = ['--output', hub.at('run'), '--steps', '1', '--sequence-length', '32'];
  const small = ['--hidden-size', '16', '--layers', '1', '--attention-heads', '2'];
  for (const from of [
    ['--model', 'owner/tiny'],
    ['--tokenizer', 'owner/tiny', ...small],
  ]) {
    expect(await runCli('train', text, ...output, ...from)).toMatchObject({ code: 0 });
    rmSync(hub.at('run'), { recursive: true });
  }
  expect(hub.server.seen).toHaveLength(requests);
});

it('chat and generate --chat take the name, and the template that the model has in a file of its own', async () => {
  const template = '{% for m in messages %}{{ m.content }}{% endfor %}';
  const files = { ...(await modelFiles(hub.at('made'))), 'chat_template.jinja': template };
  hub.server.serve('owner/tiny', files);
  const flags = ['-n', '3', '--logit-bias', '65=1000', '--device', 'cpu', '--threads', '1'];
  const chat = (): Promise<Ended> => {
    const { child, ended } = startCliWith({ stdio: 'pipe' }, 'chat', 'owner/tiny@main', ...flags);
    child.stdin!.end('Hi\n');
    return ended;
  };
  const advice = {
    code: 1,
    stderr: expect.stringContaining('to get it: foretoken download owner/tiny@main'),
  };
  expect(await chat()).toMatchObject(advice);
  expect(hub.server.seen).toEqual([]);
  await runCli('download', 'owner/tiny');
  const requests = hub.server.seen.length;
  expect(await chat()).toMatchObject({ code: 0, stdout: 'AAA\n' });
  const answer = await runCli('generate', 'owner/tiny', '--chat', '--prompt', 'Hi', ...flags);
  expect(answer).toEqual({ code: 0, stdout: 'AAA\n', stderr: '' });
  expect(hub.server.seen).toHaveLength(requests);
}, 60_000);

it('Ctrl-C keeps what has arrived, and says so', async () => {
  const weights = hub.serveModel().files['model.safetensors']!;
  weights.slow = { bytes: 10_000, milliseconds: 50 };
  const started = runCli('download', 'owner/tiny');
  while (hub.server.requestsFor('model.safetensors').length < 2) await sleep(10);
  await sleep(200);
  process.emit('SIGINT', 'SIGINT');
  expect(await started).toEqual({
    code: 130,
    stdout: '',
    stderr: 'stopped; what has arrived is kept, and the same command continues it\n',
  });
  weights.slow = undefined;
  const { code, stdout } = await runCli('download', 'owner/tiny');
  expect(code).toBe(0);
  expect(hub.server.requestsFor('model.safetensors').at(-1)!.range).toMatch(/^bytes=\d+0000-$/);
  expect(readFileSync(join(stdout.trim(), 'model.safetensors')).equals(weights.content)).toBe(true);
});

it('a terminal shows a bar with the share, the rate and the time left', async () => {
  const weights = hub.serveModel().files['model.safetensors']!;
  weights.slow = { bytes: 20_000, milliseconds: 120 };
  const [isTTY, columns] = [process.stderr.isTTY, process.stderr.columns];
  Object.assign(process.stderr, { isTTY: true, columns: 100 });
  hub.setEnvironment({ TERM: 'xterm' });
  try {
    const { stderr } = await runCli('download', 'owner/tiny');
    const lines = stderr.split('\r\u001b[K');
    expect(lines.length).toBeGreaterThan(3);
    expect(lines.at(-2)).toMatch(
      /^\[=+ *\] model\.safetensors {2}0\.\d of 0\.1 MB {2}0\.\d MB\/s {2}\ds left$/,
    );
    expect(lines.at(-1)).toBe('');
  } finally {
    Object.assign(process.stderr, { isTTY, columns });
  }
});
