// Chooses the CUDA targets that an installation builds kernels for, as FORETOKEN_CUDA_ARCHS of CMakeLists.txt. Kernels for all
// targets take many minutes, so an installation builds those for the GPUs of its machine.
'use strict';
const { spawnSync } = require('node:child_process');
const { existsSync, readFileSync, readdirSync } = require('node:fs');
const path = require('node:path');

/** By compute capability, the target whose machine code runs there. */
const TARGETS = new Map([
  ['8.0', '80'],
  ['8.6', '80'],
  ['8.7', '80'],
  ['8.9', '89'],
  ['9.0', '90a'],
  ['10.0', '100f'],
  ['10.3', '100f'],
  ['12.0', '120'],
  ['12.1', '120'],
]);

/**
 * Targets separated by commas, or `all`, or `none`: what an earlier build of the package in `root` was for, or else what the GPUs
 * of this machine need.
 */
function chooseArchs(root) {
  return archsOfBuild(root) ?? archsOfMachine();
}

/** Undefined if nothing was built, or nothing for GPUs: there may be one by now. */
function archsOfBuild(root) {
  const cache = path.join(root, 'build/cmake/CMakeCache.txt');
  if (!existsSync(cache)) return undefined;
  const archs = /^FORETOKEN_CUDA_ARCHS:\w+=(.+)$/m.exec(readFileSync(cache, 'utf8'))?.[1];
  return archs === 'none' ? undefined : archs;
}

/** `all` also where the driver has a GPU but cannot name it, or names one that is not in the table. */
function archsOfMachine() {
  const query = ['--query-gpu=compute_cap', '--format=csv,noheader'];
  const { status, stdout } = spawnSync('nvidia-smi', query, { encoding: 'utf8', timeout: 60_000 });
  if (status !== 0) return driverHasGpus() ? 'all' : 'none';
  const capabilities = stdout.split('\n').map((line) => line.trim());
  const usable = capabilities.filter((capability) => capability !== '' && !(Number(capability) < 8));
  if (usable.length === 0) return 'none';
  const targets = new Set(usable.map((capability) => TARGETS.get(capability)));
  if (targets.has(undefined)) return 'all';
  // In the order of the table, because CMakeLists.txt adds PTX, for GPUs to come, for the last one.
  return [...new Set(TARGETS.values())].filter((target) => targets.has(target)).join(',');
}

/** Whether the driver's kernel module has GPUs: containers may lack nvidia-smi. */
function driverHasGpus() {
  try {
    return readdirSync('/proc/driver/nvidia/gpus').length > 0;
  } catch {
    return false;
  }
}

module.exports = { chooseArchs, TARGETS };
