#!/usr/bin/env node
// Builds the addon, and the CUDA library where nvcc is found, into build/Release with cmake-js. CMakeLists.txt is the one
// build definition: npm's install script, node-gyp (through binding.gyp) and prebuildify (as its node-gyp) all end here.
//
//   --all              the emulated CUDA libraries that tests need as well
//   --CD<NAME>=<value> sets a CMake variable
//
// Every other argument is dropped, because prebuildify and node-gyp pass options that mean nothing to CMake.
// FORETOKEN_CUDA_ARCHS=90a in the environment compiles kernels for these compute capabilities alone.
'use strict';
const { spawnSync } = require('node:child_process');
const { existsSync, rmSync } = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const root = path.resolve(__dirname, '..');
const cache = path.join(root, 'build/cmake/CMakeCache.txt');

requireTools();
const definitions = process.argv.slice(2).filter((argument) => argument.startsWith('--CD'));
const { FORETOKEN_CUDA_ARCHS: archs } = process.env;
if (archs) definitions.push(`--CDFORETOKEN_CUDA_ARCHS=${archs}`);
const target = process.argv.includes('--all') ? 'all' : 'package_libraries';
// `cmake-js build` alone ignores a changed variable once a cache exists, so configure first.
let status = cmakeJs('configure', ...definitions);
if (status !== 0 && existsSync(cache)) {
  console.log('foretoken: configuring again from nothing; the folder or its build tool may have changed');
  rmSync(path.dirname(cache), { recursive: true });
  status = cmakeJs('configure', ...definitions);
}
process.exitCode =
  status || cmakeJs('build', '--target', target, '--parallel', String(os.availableParallelism()));

/** Ends the process with advice, where cmake-js would end it with a stack trace. */
function requireTools() {
  const needs = {
    cmake: ['cmake'],
    'a C++20 compiler': ['c++', 'g++', 'clang++'],
    'make or ninja': ['make', 'ninja'],
  };
  const runs = (command) => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;
  const missing = Object.keys(needs).filter((need) => !needs[need].some(runs));
  if (missing.length === 0) return;
  console.error(
    [
      `foretoken: cannot build the native addon, because these were not found: ${missing.join('; ')}.`,
      'Install them, then run `npm rebuild foretoken` (in a clone of the repository: `npm ci`):',
      '  Debian, Ubuntu   apt-get install g++ make cmake',
      '  Fedora, RHEL     dnf install gcc-c++ make cmake',
      '  Alpine           apk add g++ make cmake',
      '  macOS            xcode-select --install && brew install cmake',
    ].join('\n'),
  );
  process.exit(1);
}

/** Runs a command of cmake-js and returns its exit status. */
function cmakeJs(command, ...options) {
  const script = require.resolve('cmake-js/bin/cmake-js', { paths: [root] });
  const folders = ['--directory', root, '--out', path.dirname(cache)];
  const env = { ...process.env };
  // Inherited from an outer make (node-gyp), these would make the inner build misbehave.
  for (const name of ['MAKEFLAGS', 'MFLAGS', 'MAKELEVEL', 'MAKEOVERRIDES']) delete env[name];
  const { status, error } = spawnSync(process.execPath, [script, command, ...folders, ...options], {
    cwd: root,
    env,
    stdio: 'inherit',
  });
  if (error) throw error;
  return status ?? 1;
}
