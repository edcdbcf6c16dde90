// Builds the addon and puts it, stripped, where the published package has it: prebuilds/<platform>-<arch>/. On Linux also
// for linux-arm64, where the cross compiler is. `--out <folder>` puts prebuilds/ there instead of into the repository. For a
// release, run this in a fresh clone on the oldest system that is to be supported: the binary needs the C library of the
// machine that built it.
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

// prebuildify drives node-gyp only; our build script stands in for it. (Its option --node-gyp has no effect.)
process.env.FORETOKEN_CUDA_ARCHS ||= 'all';
const options = ['--napi', '--strip', '--tag-libc', ...process.argv.slice(2)];
run(require.resolve('prebuildify/bin.js', { paths: [root] }), options, { PREBUILD_NODE_GYP: build });
// It takes every library in build/Release; those that run kernels on the emulator are for tests.
const out = options.includes('--out') ? path.resolve(options[options.indexOf('--out') + 1]) : root;
const prebuilds = path.join(out, 'prebuilds');
for (const file of readdirSync(prebuilds, { recursive: true })) {
  if (file.includes('_emulated')) rmSync(path.join(prebuilds, file));
}
if (process.platform === 'linux' && process.arch === 'x64') crossCompileForArm64(out);
// prebuildify moves the binary away; put it back, because build/Release is what a clone loads.
run(build, []);
