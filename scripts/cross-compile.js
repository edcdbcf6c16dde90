// Builds the addon for linux-arm64 on another machine, into the folder where the published package has it.
'use strict';
const { spawnSync } = require('node:child_process');
const { copyFileSync, mkdirSync } = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const root = path.resolve(__dirname, '..');
const TRIPLE = 'aarch64-linux-gnu';

/**
 * Builds into prebuilds/linux-arm64 of the folder `out` with the GNU cross compiler. If the compiler is missing, says how to
 * install it. There is no CUDA library for arm64.
 */
function crossCompileForArm64(out) {
  if (spawnSync(`${TRIPLE}-g++`, ['--version'], { stdio: 'ignore' }).status !== 0) {
    console.warn(
      `foretoken: no binary for linux-arm64, because ${TRIPLE}-g++ was not found: apt-get install g++-${TRIPLE}`,
    );
    return;
  }
  const release = path.join(root, 'build/arm64/Release');
  const variables = {
    CMAKE_SYSTEM_NAME: 'Linux',
    CMAKE_SYSTEM_PROCESSOR: 'aarch64',
    CMAKE_CXX_COMPILER: `${TRIPLE}-g++`,
    FORETOKEN_CUDA_ARCHS: 'none',
    FORETOKEN_OUTPUT: release,
  };
  const script = require.resolve('cmake-js/bin/cmake-js', { paths: [root] });
  run(process.execPath, [
    ...[script, 'build', '--directory', root, '--out', path.dirname(release), '--arch', 'arm64'],
    ...['--target', 'foretoken', '--parallel', String(os.availableParallelism())],
    ...Object.entries(variables).map(([name, value]) => `--CD${name}=${value}`),
  ]);
  const built = path.join(release, 'foretoken.node');
  run(`${TRIPLE}-strip`, ['--strip-all', built]);
  const folder = path.join(out, 'prebuilds/linux-arm64');
  mkdirSync(folder, { recursive: true });
  copyFileSync(built, path.join(folder, 'foretoken.glibc.node'));
}

function run(command, options) {
  const { status, error } = spawnSync(command, options, { cwd: root, stdio: 'inherit' });
  if (error) throw error;
  if (status !== 0) throw new Error(`${command} ended with status ${status}`);
}

module.exports = { crossCompileForArm64 };
