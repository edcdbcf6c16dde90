#!/usr/bin/env node
// Builds the addon with cmake-js. The one build definition is CMakeLists.txt; npm's install script,
// node-gyp (through binding.gyp) and prebuildify all end here.
'use strict';
const { spawnSync } = require('node:child_process');
const path = require('node:path');

const root = path.resolve(__dirname, '..');
const env = { ...process.env };
// Inherited from an outer make (node-gyp), these would make the inner build misbehave.
for (const name of ['MAKEFLAGS', 'MFLAGS', 'MAKELEVEL', 'MAKEOVERRIDES']) delete env[name];

const cmakeJs = require.resolve('cmake-js/bin/cmake-js', { paths: [root] });
const options = ['--directory', root, '--out', path.join(root, 'build/cmake')];
// `cmake-js build` alone ignores changed -D once a cache exists, so configure first.
for (const step of ['configure', 'build']) {
  const extra = step === 'build' ? ['--parallel', String(require('node:os').availableParallelism())] : [];
  const { status, error } = spawnSync(
    process.execPath,
    [cmakeJs, step, ...options, ...extra, ...process.argv.slice(2)],
    { cwd: root, env, stdio: 'inherit' },
  );
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}
