// Finds the tools and packages of a build. It can only ask the user for tools of the system. Packages from npm are development
// dependencies in a clone; an installed package, which rarely builds anything, fetches them into build/tools.
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
 * Returns the script of cmake-js and the environment in which it finds the headers of node-addon-api. Ends the process with advice
 * if a tool is missing.
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
    'If npm cannot reach a registry, install both into node_modules of your project yourself.',
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

/** Advises to run the script without npm, because npm may be configured not to run scripts of packages. */
function adviceToBuild(root) {
  return ['Then run:', `  node "${path.join(root, 'scripts/build.js')}"`];
}

function endWith(lines) {
  console.error(lines.join('\n'));
  process.exit(1);
}

module.exports = { findBuildTools };
