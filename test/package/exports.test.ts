import { readFileSync } from 'node:fs';
import path from 'node:path';
import * as foretoken from '../../lib';

test('import offers the same names as require', () => {
  const entry = readFileSync(path.join(__dirname, '../../index.mjs'), 'utf8');
  const names = /^export const \{([^}]+)\} = load\(\);$/m.exec(entry)![1]!;
  const offered = names.split(',').map((name) => name.trim());
  expect(offered.filter((name) => name !== '').sort()).toEqual(Object.keys(foretoken).sort());
});
