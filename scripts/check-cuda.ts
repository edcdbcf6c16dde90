// Checks the kernels that nvcc compiled, and lists their registers. Fails for kernels that spill, for warnings of ptxas about
// performance (such as products that wait for each other), for targets that are missing, and for a library that is too large.
// If the build had no CUDA library, it says why nothing was checked.
//
//   npm run lint:cuda               lists the kernels with the most registers
//   npm run lint:cuda -- --all      lists every kernel
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';

/** The report of ptxas on one kernel and one target. */
export interface KernelReport {
  /** Its mangled name. */
  kernel: string;
  /** For example `sm_90a`. */
  target: string;
  registers: number;
  /** Bytes that are stored to memory and loaded again for lack of registers. */
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
    // Counts the spills of device functions that are not inlined for the kernel.
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
const cache = path.join(root, 'build/cmake/CMakeCache.txt');
const objects = path.join(root, 'build/cmake/CMakeFiles/foretoken_cuda.dir/csrc/cuda');
const library = path.join(root, 'build/Release/libforetoken_cuda.so');
const largest = 50e6;

/** Finds the warnings of ptxas about performance: `ptxas info : (C7515) Potential Performance Loss: …`. */
export function parseLosses(text: string): string[] {
  return [...text.matchAll(/^ptxas \w+\s*: \(C75\d\d\) (.*)$/gm)].map(([, message]) => message!);
}

/** Returns the targets of the build as CMake keeps them: `80,90a`, or `none`, or nothing before the first build. */
function archsOfBuild(): string {
  if (!existsSync(cache)) return '';
  return /^FORETOKEN_CUDA_ARCHS:\w+=(.*)$/m.exec(readFileSync(cache, 'utf8'))?.[1] ?? '';
}

/** Says why the build has no CUDA library; null if it has one. */
function whyNotBuilt(archs: string): string | null {
  if (archs === '') return 'nothing was built';
  if (archs === 'none') return 'FORETOKEN_CUDA_ARCHS was none';
  if (existsSync(library) && existsSync(objects)) return null;
  return 'nvcc is missing (https://developer.nvidia.com/cuda-toolkit)';
}

/** Returns the demangled names without their arguments; without c++filt, the names unchanged. */
function demangled(names: readonly string[]): string[] {
  const { status, stdout } = spawnSync('c++filt', ['-p'], { input: names.join('\n'), encoding: 'utf8' });
  return status === 0 ? stdout.split('\n') : [...names];
}

function main(all: boolean): boolean {
  const archs = archsOfBuild();
  const reason = whyNotBuilt(archs);
  if (reason !== null) {
    console.log(`CUDA library NOT BUILT and not checked, because ${reason}`);
    return true;
  }
  const targets = archs.split(/[,;]/).map((arch) => `sm_${arch}`);
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
    const missing = targets.filter((target) => !reports.some((report) => report.target === target));
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
    `${rows.length} kernels on ${targets.join(', ')}; the library has ${(size / 1e6).toFixed(1)} MB`,
  );
  return problems.length === 0;
}

if (require.main === module && !main(process.argv.includes('--all'))) process.exit(1);
