// Checks that the object files of the AVX kernels define nothing that the rest of the program could run on an older processor:
// - weak symbols (inline functions, template instances) whose name does not contain the level's own namespace: the linker keeps
//   one copy for the whole program, possibly the copy compiled for AVX-512;
// - constructors of global objects, which run as soon as the addon is loaded.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';

export const isaLevels = ['avx2', 'avx2vnni', 'avx512', 'avx512vnni', 'avx512bf16', 'dotprod'];

/** Finds the problems of an object file compiled for `isa`, one message each. */
export function checkObject(file: string, isa: string): string[] {
  const symbols = execFileSync('nm', ['--demangle', '--defined-only', file], { encoding: 'utf8' });
  return symbols.split('\n').flatMap((line) => {
    const [, type, name] = /^\w* +(\w) (.+)$/.exec(line) ?? [];
    if (!type || !name) return [];
    if (name.startsWith('_GLOBAL__sub_I_')) return [`runs ${isa} code when the addon is loaded: ${name}`];
    const shared = type === 'W' && !name.includes(`foretoken::cpu::${isa}::`);
    return shared ? [`shares ${isa} code with the rest of the program: ${name}`] : [];
  });
}

function main(): boolean {
  const build = path.join(__dirname, '../build/cmake/CMakeFiles');
  let objects = 0;
  let problems = 0;
  for (const isa of isaLevels) {
    const folder = path.join(build, `kernels_${isa}.dir`);
    if (!existsSync(folder)) continue;
    for (const file of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
      if (!file.endsWith('.o')) continue;
      objects++;
      for (const problem of checkObject(path.join(folder, file), isa)) {
        console.error(`${file} ${problem}`);
        problems++;
      }
    }
  }
  if (objects === 0 && process.arch === 'x64') {
    console.error(`no kernel objects in ${build}: run \`npm run build\` first`);
    return false;
  }
  console.log(`instruction sets: ${objects} object files checked`);
  return problems === 0;
}

if (require.main === module && !main()) process.exit(1);
