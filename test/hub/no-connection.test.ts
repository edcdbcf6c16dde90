// Nothing but a download opens a connection: not loading a model, not a name that is not in the cache.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { globSync } from 'tinyglobby';
import { modelFiles } from '../support/hub-model';
import { startScript } from '../support/process';
import { TemporaryDirectory } from '../support/temporary';

const temporary = new TemporaryDirectory();
const root = path.join(__dirname, '../..');

/** Ends the process at every way to a network that Node has. */
const FORBID = `
  const forbid = (name) => () => {
    console.error('connection: ' + name);
    process.exit(99);
  };
  const { Socket } = require('node:net');
  Socket.prototype.connect = forbid('net');
  require('node:dgram').Socket.prototype.send = forbid('dgram');
  require('node:dgram').Socket.prototype.connect = forbid('dgram');
  for (const dns of [require('node:dns'), require('node:dns').promises]) {
    for (const name of Object.keys(dns)) if (/^(lookup|resolve|reverse)/.test(name)) dns[name] = forbid('dns');
  }
`;

async function run(program: string): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const script = temporary.write(
    'program.js',
    `${FORBID}
    process.env.HF_HUB_CACHE = ${JSON.stringify(temporary.at('hub'))};
    const foretoken = require(${JSON.stringify(path.join(root, 'lib/index.ts'))});
    (async () => { ${program} })();`,
  );
  return startScript(script).ended;
}

it('a model is loaded and writes without a connection; one that is not there is refused', async () => {
  const commit = 'c'.repeat(40);
  const snapshot = temporary.at(`hub/models--owner--tiny/snapshots/${commit}`);
  await modelFiles(snapshot);
  temporary.write('hub/models--owner--tiny/refs/main', commit);
  const ended = await run(`
    const model = await foretoken.LanguageModel.load('owner/tiny', 'cpu');
    for await (const { text } of model.generate('All work', { maxTokens: 3 }));
    console.log('written');
    const device = foretoken.openDevice('cpu');
    for (const load of [
      () => foretoken.loadModel(device, 'owner/none'),
      () => foretoken.LanguageModel.load('owner/none', 'cpu'),
    ]) await load().catch((error) => console.log(error.message));
  `);
  expect(ended).toMatchObject({ code: 0, stderr: '' });
  const refused = `owner/none: there is no such path, and no such model in ${temporary.at('hub')}; to get it: foretoken download owner/none\n`;
  expect(ended.stdout).toBe(`written\n${refused.repeat(2)}`);
});

it('the test would catch a connection', async () => {
  const ended = await run(`await foretoken.downloadModel('owner/tiny');`);
  expect(ended).toMatchObject({ code: 99, stderr: expect.stringMatching(/^connection: (dns|net)\n/) });
});

it('one file alone speaks to a network', () => {
  const files = globSync('lib/**/*.ts', { cwd: root });
  const speaks =
    /\bfetch\(endpoint|['"](node:)?(https?|http2|net|tls|dgram|dns)(\/promises)?['"]|WebSocket|XMLHttpRequest/;
  const found = files.filter((file) => speaks.test(readFileSync(path.join(root, file), 'utf8')));
  expect(found).toEqual(['lib/hub/request.ts']);
});
