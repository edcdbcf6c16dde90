// What nvcc made of the kernels: registers and spills of every kernel on every target, and the library's size. Fails for
// kernels that spill, for what ptxas says costs performance (products that wait for each other, say), for targets that are
// missing and for a library that is too large. Says so where there was no nvcc.
//
//   npm run lint:cuda               the kernels with the most registers
//   npm run lint:cuda -- --all      every kernel
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';

/** What ptxas said of one kernel on one target. */
export interface KernelReport {
  /** As the linker calls it. */
  kernel: string;
  /** `sm_90a`. */
  target: string;
  registers: number;
  /** Bytes that are written to memory and read back for want of registers. */
  spilled: number;
}

/** Reads the output of `ptxas -v`. */
export function parseReport(text: string): KernelReport[] {
  const reports: KernelReport[] = [];
  let kernel = '';
  let target = '';
  let spilled = 0;
  for (const line of text.split('\n')) {
    const entry = /Compiling entry function '([^']+)' for '([^']+)'/.exec(line);
    if (entry) [, kernel, target] = entry as unknown as [string, string, string];
    // Device functions that are not inlined have properties of their own; they count for the kernel.
    const spills = /(\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line);
    if (spills) spilled += Number(spills[1]) + Number(spills[2]);
    const used = /Used (\d+) registers/.exec(line);
    if (!used) continue;
    reports.push({ kernel, target, registers: Number(used[1]), spilled });
    spilled = 0;
  }
  return reports;
}

const root = path.join(__dirname, '..');
const objects = path.join(root, 'build/cmake/CMakeFiles/foretoken_cuda.dir/csrc/cuda');
const library = path.join(root, 'build/Release/libforetoken_cuda.so');
const largest = 50e6;

/** What ptxas could not do as it was meant to be done: `ptxas info : (C7515) Potential Performance Loss: …`. */
export function parseLosses(text: string): string[] {
  return [...text.matchAll(/^ptxas \w+\s*: \(C75\d\d\) (.*)$/gm)].map(([, message]) => message!);
}

function targetsOfBuild(): string[] {
  const cache = readFileSync(path.join(root, 'build/cmake/CMakeCache.txt'), 'utf8');
  const archs = /^FORETOKEN_CUDA_ARCHS:\w+=(.*)$/m.exec(cache)![1]!;
  return archs.split(/[,;]/).map((arch) => `sm_${arch}`);
}

/** The names as C++ has them, as far as there is a c++filt; without their arguments. */
function demangled(names: readonly string[]): string[] {
  const { status, stdout } = spawnSync('c++filt', ['-p'], { input: names.join('\n'), encoding: 'utf8' });
  return status === 0 ? stdout.split('\n') : [...names];
}

function main(all: boolean): boolean {
  if (!existsSync(library) || !existsSync(objects)) {
    console.log(
      'CUDA library NOT BUILT and not checked: there was no nvcc (https://developer.nvidia.com/cuda-toolkit)',
    );
    return true;
  }
  const problems: string[] = [];
  const rows: [file: string, report: KernelReport][] = [];
  for (const name of readdirSync(objects, { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.ptxas'),
  )) {
    const text = readFileSync(path.join(objects, name), 'utf8');
    const reports = parseReport(text);
    const file = name.replace('.o.ptxas', '');
    for (const message of parseLosses(text)) problems.push(`${file}: ${message}`);
    for (const report of reports) rows.push([file, report]);
    const missing = targetsOfBuild().filter((target) => !reports.some((report) => report.target === target));
    if (missing.length > 0) problems.push(`${file} has no kernels for ${missing.join(', ')}`);
  }
  const names = demangled(rows.map(([, { kernel }]) => kernel));
  rows.forEach(([, report], i) => {
    report.kernel = names[i]!.replaceAll('foretoken::cuda::', '').replaceAll('(anonymous namespace)::', '');
  });
  for (const [file, { kernel, target, spilled }] of rows) {
    if (spilled > 0) problems.push(`${file}: ${kernel} spills ${spilled} bytes on ${target}`);
  }
  rows.sort(([, a], [, b]) => b.registers - a.registers);
  for (const [file, { kernel, target, registers, spilled }] of all ? rows : rows.slice(0, 20)) {
    console.log(
      `${String(registers).padStart(4)} registers ${String(spilled).padStart(5)} spilled  ${target.padEnd(8)} ${file}  ${kernel}`,
    );
  }
  const { size } = statSync(library);
  if (size > largest) problems.push(`the library has ${size} bytes, but must have at most ${largest}`);
  for (const problem of problems) console.error(`check-cuda: ${problem}`);
  console.log(
    `${rows.length} kernels on ${targetsOfBuild().join(', ')}; the library has ${(size / 1e6).toFixed(1)} MB`,
  );
  return problems.length === 0;
}

if (require.main === module && !main(process.argv.includes('--all'))) process.exit(1);
