// Finds what a build needs: tools of the system, which it can only ask for, and packages from npm. Clones have those packages
// as development dependencies; an installed package, which seldom builds anything, fetches them into build/tools.
'use strict';
const { spawnSync } = require('node:child_process');
const { createRequire } = require('node:module');
const path = require('node:path');

const SYSTEM = {
  cmake: ['cmake'],
  'a C++20 compiler': ['c++', 'g++', 'clang++'],
  'make or ninja': ['make', 'ninja'],
};
const PACKAGES = ['cmake-js', 'node-addon-api'];

/**
 * The script of cmake-js and the environment in which it finds the headers of node-addon-api. Ends the process with advice if a
 * tool is missing.
 */
function findBuildTools(root) {
  const runs = (command) => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;
  const missing = Object.keys(SYSTEM).filter((need) => !SYSTEM[need].some(runs));
  if (missing.length > 0) endWith(adviceOnSystem(root, missing));

  const script = 'cmake-js/bin/cmake-js';
  if (resolves(root)) return { cmakeJs: createRequire(packageFile(root)).resolve(script), env: {} };
  const folder = path.join(root, 'build/tools');
  if (!resolves(folder)) fetchPackages(root, folder);
  return {
    cmakeJs: createRequire(packageFile(folder)).resolve(script),
    env: { NODE_PATH: path.join(folder, 'node_modules') },
  };
}

function packageFile(folder) {
  return path.join(folder, 'package.json');
}

function resolves(folder) {
  const { resolve } = createRequire(packageFile(folder));
  try {
    return PACKAGES.every((name) => resolve(`${name}/package.json`));
  } catch {
    return false;
  }
}

function fetchPackages(root, folder) {
  const { devDependencies } = require(packageFile(root));
  const wanted = PACKAGES.map((name) => `${name}@${devDependencies[name]}`);
  console.log(`foretoken: fetching ${wanted.join(' and ')} from npm, to build with`);
  const options = [
    '--global=false',
    '--no-save',
    '--no-package-lock',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
  ];
  const { status } = spawnSync('npm', ['install', '--prefix', folder, ...options, ...wanted], {
    stdio: 'inherit',
  });
  if (status === 0 && resolves(folder)) return;
  endWith([
    `foretoken: cannot build the native addon, because npm could not fetch ${wanted.join(' and ')}.`,
    'Where npm reaches no registry, bring both into node_modules of your project.',
    ...adviceToBuild(root),
  ]);
}

function adviceOnSystem(root, missing) {
  return [
    `foretoken: cannot build the native addon, because these were not found: ${missing.join('; ')}.`,
    'Install them:',
    '  Debian, Ubuntu   apt-get install g++ make cmake',
    '  Fedora, RHEL     dnf install gcc-c++ make cmake',
    '  Alpine           apk add g++ make cmake',
    '  macOS            xcode-select --install && brew install cmake',
    ...adviceToBuild(root),
  ];
}

/** Without npm, because that may be told to run no scripts of packages. */
function adviceToBuild(root) {
  return ['Then run:', `  node "${path.join(root, 'scripts/build.js')}"`];
}

function endWith(lines) {
  console.error(lines.join('\n'));
  process.exit(1);
}

module.exports = { findBuildTools };
