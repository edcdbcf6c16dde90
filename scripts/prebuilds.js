// Builds the addon and writes it, stripped, to prebuilds/<platform>-<arch>/, where the published package has it. On Linux it also
// builds for linux-arm64 if the cross compiler is installed. `--out <folder>` writes prebuilds/ to that folder instead of the
// repository. For a release, run it in a fresh clone on the oldest supported system, because the binary needs a C library as new
// as that of the machine that built it.
'use strict';
const { spawnSync } = require('node:child_process');
const { readdirSync, rmSync } = require('node:fs');
const path = require('node:path');
const { crossCompileForArm64 } = require('./cross-compile');

const root = path.resolve(__dirname, '..');
const build = path.join(__dirname, 'build.js');

function run(script, options, env = {}) {
  const { status, error } = spawnSync(process.execPath, [script, ...options], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: 'inherit',
  });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

// prebuildify can only run node-gyp, so this build script replaces node-gyp. (prebuildify's option --node-gyp has no effect.)
process.env.FORETOKEN_CUDA_ARCHS ||= 'all';
const options = ['--napi', '--strip', '--tag-libc', ...process.argv.slice(2)];
run(require.resolve('prebuildify/bin.js', { paths: [root] }), options, { PREBUILD_NODE_GYP: build });
// prebuildify copies every library in build/Release; removes those of the emulator, which are for tests.
const out = options.includes('--out') ? path.resolve(options[options.indexOf('--out') + 1]) : root;
const prebuilds = path.join(out, 'prebuilds');
for (const file of readdirSync(prebuilds, { recursive: true })) {
  if (file.includes('_emulated')) rmSync(path.join(prebuilds, file));
}
if (process.platform === 'linux' && process.arch === 'x64') crossCompileForArm64(out);
// Builds again, because prebuildify moves the binary out of build/Release, from which a clone loads it.
run(build, []);
