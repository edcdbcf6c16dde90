// The C++ and CUDA sources: formatted by clang-format, and no inline assembly outside csrc/cuda/ptx.cuh, where each
// instruction stands beside the twin that the emulator runs. `--fix` formats instead of checking.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

export const assemblyFile = 'csrc/cuda/ptx.cuh';

/** `source` with comments and string literals blanked, line breaks kept. */
function codeOf(source: string): string {
  const token = /\/\/[^\n]*|\/\*[\s\S]*?\*\/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])+'/g;
  return source.replace(token, (text) => text.replace(/[^\n]/g, ' '));
}

/** Lines of `source` (1-based) with inline assembly. */
export function findAssembly(source: string): number[] {
  const lines = codeOf(source).split('\n');
  return lines.flatMap((line, i) => (/\b(asm|__asm__|__asm)\b/.test(line) ? [i + 1] : []));
}

function nativeSources(root: string): string[] {
  return readdirSync(path.join(root, 'csrc'), { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.(h|cc|cu|cuh)$/.test(file))
    .map((file) => path.posix.join('csrc', file.split(path.sep).join('/')))
    .sort();
}

/** True if clang-format is content, or is not installed: it is a tool of the system, not of npm. */
function clangFormat(root: string, options: string[], files: string[]): boolean {
  const { status, error } = spawnSync('clang-format', [...options, ...files], {
    cwd: root,
    stdio: 'inherit',
  });
  if (error) console.error('C++ format NOT CHECKED: clang-format is missing (apt-get install clang-format)');
  return error !== undefined || status === 0;
}

function main(): boolean {
  const root = path.join(__dirname, '..');
  const files = nativeSources(root);
  if (process.argv.includes('--fix')) return clangFormat(root, ['-i'], files);
  let assembly = 0;
  for (const file of files.filter((name) => name !== assemblyFile)) {
    for (const line of findAssembly(readFileSync(path.join(root, file), 'utf8'))) {
      console.error(`${file}:${line}: inline assembly belongs in ${assemblyFile}`);
      assembly++;
    }
  }
  return clangFormat(root, ['--dry-run', '-Werror'], files) && assembly === 0;
}

if (require.main === module) {
  if (!main()) process.exit(1);
  console.log('native sources checked');
}
