#!/usr/bin/env node
// Builds the addon, and the CUDA library if nvcc is found, into build/Release with cmake-js. CMakeLists.txt is the only build
// definition: npm's install script, node-gyp (through binding.gyp) and prebuildify (as its node-gyp) all call this script.
//
//   --all                  builds for all GPUs instead of those of this machine, and the emulated CUDA libraries that tests need
//   --sanitizers=<levels>  builds only the addon, with sanitizers in it and in these levels of the CPU, into build/sanitizers,
//                          for scripts/test-sanitizers.ts
//   --CD<NAME>=<value>     sets a CMake variable
//
// It ignores every other argument, because prebuildify and node-gyp pass options that mean nothing to CMake.
// FORETOKEN_CUDA_ARCHS in the environment sets the GPUs to compile kernels for: 90a, or 80,89, or all, or none.
'use strict';
const { spawnSync } = require('node:child_process');
const { existsSync, rmSync } = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { findBuildTools } = require('./build-tools.js');
const { chooseArchs } = require('./cuda-archs.js');

const root = path.resolve(__dirname, '..');
const sanitized = process.argv.find((word) => word.startsWith('--sanitizers='))?.split('=')[1];
const cache = path.join(root, 'build', sanitized ? 'sanitizers' : 'cmake', 'CMakeCache.txt');

const tools = findBuildTools(root);
const all = process.argv.includes('--all');
const archs = sanitized ? 'none' : process.env.FORETOKEN_CUDA_ARCHS || (all ? 'all' : chooseArchs(root));
console.log(
  archs === 'none'
    ? 'foretoken: building for the CPU, because no NVIDIA GPU was found (FORETOKEN_CUDA_ARCHS=all builds for GPUs, too)'
    : `foretoken: building for the CPU and, if nvcc is installed, for GPUs (FORETOKEN_CUDA_ARCHS=${archs})`,
);
// Passes FORETOKEN_CUDA_ARCHS every time, because CMake would otherwise keep the value of an earlier build.
const definitions = [
  `--CDFORETOKEN_CUDA_ARCHS=${archs}`,
  ...process.argv.filter((word) => word.startsWith('--CD')),
];
if (sanitized) {
  const output = path.join(path.dirname(cache), 'build/Release'); // where node-gyp-build looks
  definitions.push(`--CDFORETOKEN_SANITIZERS=${sanitized}`, `--CDFORETOKEN_OUTPUT=${output}`);
}
const target = all ? 'all' : 'package_libraries';
// Configures first, because `cmake-js build` ignores a changed variable once a cache exists.
let status = cmakeJs('configure', ...definitions);
if (status !== 0 && existsSync(cache)) {
  console.log(
    'foretoken: configuring again from scratch, because the folder or its build tool may have changed',
  );
  rmSync(path.dirname(cache), { recursive: true });
  status = cmakeJs('configure', ...definitions);
}
process.exitCode =
  status || cmakeJs('build', '--target', target, '--parallel', String(os.availableParallelism()));

/** Runs a command of cmake-js and returns its exit status. */
function cmakeJs(command, ...options) {
  const folders = ['--directory', root, '--out', path.dirname(cache)];
  const env = { ...process.env, ...tools.env };
  // Removes variables of an outer make (node-gyp), which would disturb the inner build.
  for (const name of ['MAKEFLAGS', 'MFLAGS', 'MAKELEVEL', 'MAKEOVERRIDES']) delete env[name];
  const { status, error } = spawnSync(process.execPath, [tools.cmakeJs, command, ...folders, ...options], {
    cwd: root,
    env,
    stdio: 'inherit',
  });
  if (error) throw error;
  return status ?? 1;
}
