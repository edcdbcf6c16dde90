// The Hub refuses, or cannot answer: one sentence each, with advice.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { downloadModel } from '../../lib/hub/download';
import { GOOD_TOKEN, POOR_TOKEN } from '../support/hub-server';
import { TestHub } from '../support/hub';

const hub = new TestHub();

async function messageOf(repo: string, options?: Parameters<typeof downloadModel>[1]): Promise<string> {
  const error: unknown = await downloadModel(repo, options).catch((error: unknown) => error);
  expect(error).toMatchObject({ name: 'ForetokenError', code: 'DOWNLOAD_FAILED' });
  return (error as Error).message.replaceAll(hub.server.endpoint, 'HUB');
}

it('a model that does not exist, or is private', async () => {
  hub.serveModel('owner/private', { access: 'private' });
  for (const name of ['owner/none', 'owner/private']) {
    expect(await messageOf(name)).toBe(
      `HUB has no model ${name}, or it is private: then set HF_TOKEN to a token that may read it`,
    );
    hub.setEnvironment({ HF_TOKEN: POOR_TOKEN });
    expect(await messageOf(name)).toBe(
      `HUB has no model ${name}, or it is private: the token of HF_TOKEN may not read it`,
    );
    hub.setEnvironment({});
  }
  hub.setEnvironment({ HF_TOKEN: GOOD_TOKEN });
  await downloadModel('owner/private');
});

it('a gated model', async () => {
  hub.serveModel('owner/gated', { access: 'gated' });
  expect(await messageOf('owner/gated')).toBe(
    'owner/gated is gated; accept its terms at HUB/owner/gated, and set HF_TOKEN to a token of your account',
  );
  const path = hub.write('token', `${POOR_TOKEN}\n`);
  expect(await messageOf('owner/gated')).toBe(
    `owner/gated is gated; the account of ${path} has no access yet: ask for it at HUB/owner/gated`,
  );
});

it('a token that the Hub does not know', async () => {
  hub.serveModel();
  hub.setEnvironment({ HF_TOKEN: 'hf_old' });
  expect(await messageOf('owner/tiny')).toBe(
    'HUB refuses the token of HF_TOKEN: Invalid credentials in Authorization header; make one at HUB/settings/tokens',
  );
});

it('a revision that does not exist', async () => {
  hub.serveModel();
  for (const call of [messageOf('owner/tiny@v2'), messageOf('owner/tiny', { revision: 'v2' })]) {
    expect(await call).toBe('owner/tiny has no revision "v2"');
  }
});

it('a file that is gone', async () => {
  const model = hub.serveModel();
  const config = model.files['config.json']!;
  config.statuses = [404];
  expect(await messageOf('owner/tiny')).toContain('HUB has no model owner/tiny');
  config.statuses = [403];
  expect(await messageOf('owner/tiny')).toBe('HUB answered 403 for owner/tiny');
});

it('a request that the Hub forbids', async () => {
  hub.server.statuses.push({ status: 403, headers: { 'x-error-message': 'Disabled.' } });
  expect(await messageOf('owner/tiny')).toBe('HUB answered 403, "Disabled." for owner/tiny');
});

describe('a server that is no Hub', () => {
  let server: Server;
  let body: string;

  beforeEach(async () => {
    server = createServer((_, response) => response.end(body));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    hub.setEnvironment({ HF_ENDPOINT: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` });
  });
  afterEach(() => server.close());

  const sha = 'a'.repeat(40);
  const file = { rfilename: 'config.json', size: 2, blobId: sha };
  it.each([
    ['<html>', 'does not answer like the Hub: Unexpected token'],
    ['[]', 'it names no commit'],
    ['{"sha": "main"}', 'it names no commit'],
    [`{"sha": "${sha}"}`, 'it lists no files'],
    [JSON.stringify({ sha, siblings: [null] }), 'it describes a file as null'],
    ...['../config.json', '/etc/passwd', 'a/../../b', 'a\\b', 'C:/b', 'a//b', '', 'a\0b'].map(
      (rfilename): [string, string] => [
        JSON.stringify({ sha, siblings: [{ ...file, rfilename }] }),
        'it describes a file as',
      ],
    ),
    [JSON.stringify({ sha, siblings: [{ ...file, size: -1 }] }), 'it describes a file as'],
    [JSON.stringify({ sha, siblings: [{ ...file, blobId: '../../x' }] }), 'it describes a file as'],
    [
      JSON.stringify({ sha, siblings: [{ ...file, lfs: { sha256: '', size: 2 } }] }),
      'it describes a file as',
    ],
  ])('%s', async (text, message) => {
    body = text;
    expect(await messageOf('owner/tiny')).toContain(message);
  });
});

describe('a Hub that cannot be reached', () => {
  it.each([
    ['http://127.0.0.1:1', 'cannot reach http://127.0.0.1:1: '],
    ['http://host.invalid', 'cannot reach http://host.invalid: its name '],
  ])('%s', async (endpoint, message) => {
    hub.setEnvironment({ HF_ENDPOINT: endpoint });
    const started = performance.now();
    expect(await messageOf('owner/tiny')).toContain(message);
    // Without a pause for another attempt.
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  it.each(['huggingface.co', 'ftp://huggingface.co'])('HF_ENDPOINT %s is refused', async (endpoint) => {
    hub.setEnvironment({ HF_ENDPOINT: endpoint });
    await expect(downloadModel('owner/tiny')).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: `HF_ENDPOINT must be an address such as https://huggingface.co, but is "${endpoint}"`,
    });
  });

  it('a password in HF_ENDPOINT is refused and not shown', async () => {
    hub.setEnvironment({ HF_ENDPOINT: 'http://me:secret@host' });
    await expect(downloadModel('owner/tiny')).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message:
        'HF_ENDPOINT must be an address such as https://huggingface.co, but holds a user name or a password',
    });
  });
});

it.each([
  'tiny',
  'a/b/c',
  '-a/b',
  'a/b-',
  'a--b/c',
  'a/b..c',
  'a/b@',
  'a/b@x..y',
  'a/b@/x',
  './a',
  '../a',
  '',
])('the name %j is refused', async (repo) => {
  await expect(downloadModel(repo)).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
    message: `downloadModel: repo must be owner/name or owner/name@revision, but is ${JSON.stringify(repo)}`,
  });
});
