// Help and docs list all kinds of heads.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { headKindNames } from '../../lib/heads';
import { runCli } from '../support/cli';

const kinds = headKindNames();

it('the built-in kinds are registered', () => {
  expect(kinds).toEqual(['parallel', 'medusa', 'rooted', 'sequential', 'recursive']);
});

it('train --help lists all kinds', async () => {
  const { stdout } = await runCli('train', '--help');
  expect(stdout).toContain('parallel, medusa, rooted, sequential, or recursive (default parallel)');
});

it.each([
  ['README.md', /^\| heads \| (.*)$/m],
  ['docs/architecture.md', /one file per head kind: (.*)$/m],
  ['CHANGELOG.md', /\*\*Heads\*\* of kind ([^]*?),\s+saved/],
])('%s lists all kinds', (page, list) => {
  const text = readFileSync(path.join(__dirname, '../..', page), 'utf8');
  const named = list.exec(text)![1]!;
  expect(kinds.filter((kind) => !new RegExp(`\\b${kind}\\b`).test(named))).toEqual([]);
});
