// Chooses FORETOKEN_CUDA_ARCHS of CMakeLists.txt: the CUDA targets that an installation builds kernels for. Building kernels for
// all targets takes many minutes, so an installation builds only those for the GPUs of its machine.
'use strict';
const { spawnSync } = require('node:child_process');
const { existsSync, readFileSync, readdirSync } = require('node:fs');
const path = require('node:path');

/** The target whose machine code runs on a GPU, by compute capability. */
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
 * Returns targets separated by commas, or `all`, or `none`: those of an earlier build of the package in `root`, or else those of
 * this machine's GPUs.
 */
function chooseArchs(root) {
  return archsOfBuild(root) ?? archsOfMachine();
}

/** Returns undefined if nothing was built, or nothing for GPUs, because the machine may have a GPU by now. */
function archsOfBuild(root) {
  const cache = path.join(root, 'build/cmake/CMakeCache.txt');
  if (!existsSync(cache)) return undefined;
  const archs = /^FORETOKEN_CUDA_ARCHS:\w+=(.+)$/m.exec(readFileSync(cache, 'utf8'))?.[1];
  return archs === 'none' ? undefined : archs;
}

/** Returns `all` also if the driver has a GPU but cannot name it, or names one that is not in the table. */
function archsOfMachine() {
  const query = ['--query-gpu=compute_cap', '--format=csv,noheader'];
  const { status, stdout } = spawnSync('nvidia-smi', query, { encoding: 'utf8', timeout: 60_000 });
  if (status !== 0) return driverHasGpus() ? 'all' : 'none';
  const capabilities = stdout.split('\n').map((line) => line.trim());
  const usable = capabilities.filter((capability) => capability !== '' && !(Number(capability) < 8));
  if (usable.length === 0) return 'none';
  const targets = new Set(usable.map((capability) => TARGETS.get(capability)));
  if (targets.has(undefined)) return 'all';
  // Keeps the order of the table, because CMakeLists.txt adds PTX for future GPUs to the last target.
  return [...new Set(TARGETS.values())].filter((target) => targets.has(target)).join(',');
}

/** Whether the driver's kernel module has GPUs, because containers may lack nvidia-smi. */
function driverHasGpus() {
  try {
    return readdirSync('/proc/driver/nvidia/gpus').length > 0;
  } catch {
    return false;
  }
}

module.exports = { chooseArchs, TARGETS };
