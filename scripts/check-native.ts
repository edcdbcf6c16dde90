// Checks the C++ and CUDA sources; `--fix` formats them instead.
// - clang-format must agree with their format.
// - Inline assembly is allowed only in csrc/cuda/ptx, beside the code that the emulator runs instead, and where the emulator
//   switches stacks.
// - csrc/addon must not call functions of node-addon-api that can end the process (csrc/addon/javascript.h says when).
// - csrc/cuda must not cast results away. Compilers refuse results that are ignored (csrc/simt/runtime_api.h); `discard` takes
//   the reason why a result does not matter.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const assemblyFiles = /^csrc\/cuda\/ptx\/\w+\.cuh$/;
const stackSwitch = 'csrc/simt/fiber.cc';
const discardFile = 'csrc/cuda/context.h';

/** Replaces comments and string literals in `source` by blanks, and keeps line breaks. */
function codeOf(source: string): string {
  const token = /\/\/[^\n]*|\/\*[\s\S]*?\*\/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])+'/g;
  return source.replace(token, (text) => text.replace(/[^\n]/g, ' '));
}

/** Finds the lines of `source` (1-based) whose code matches. */
function linesWith(pattern: RegExp, source: string): number[] {
  const lines = codeOf(source).split('\n');
  return lines.flatMap((line, i) => (pattern.test(line) ? [i + 1] : []));
}

/** Finds the lines of `source` with inline assembly. */
export const findAssembly = (source: string): number[] => linesWith(/\b(asm|__asm__|__asm)\b/, source);

// These make a Napi::Error when JavaScript fails or is terminated.
const methods =
  'Set|Get|Has|HasOwnProperty|Delete|New|Call|MakeCallback|Resolve|Reject|Then|Catch|Freeze|Seal|InstanceOf';
const types =
  '\\w*Error|Promise|\\w*ThreadSafeFunction|AsyncWorker|ObjectWrap|CallbackInfo|Function::New|\\w+Array::New|\\w*Buffer::New';
const unsafe = new RegExp(
  `(\\.|->)(${methods}|To[A-Z]\\w*|Define\\w+|Throw\\w+)\\s*\\(|\\bNapi::(${types})\\b|\\bNODE_API_MODULE\\b`,
);

/** Finds the lines of `source` with functions of node-addon-api that can run JavaScript. */
export const findUnsafeCalls = (source: string): number[] => linesWith(unsafe, source);

/** Finds the lines of `source` that cast a result away; `discard` of csrc/cuda/context.h would give a reason. */
export const findCasts = (source: string): number[] =>
  linesWith(/\(\s*void\s*\)|static_cast<\s*void\s*>/, source);

function nativeSources(root: string): string[] {
  return readdirSync(path.join(root, 'csrc'), { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.(h|cc|cu|cuh)$/.test(file))
    .map((file) => path.posix.join('csrc', file.split(path.sep).join('/')))
    .sort();
}

/** Runs clang-format. Returns true if it succeeds, or if it is not installed, because npm cannot install it. */
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
  let found = 0;
  const report = (file: string, lines: number[], advice: string): void => {
    for (const line of lines) console.error(`${file}:${line}: ${advice}`);
    found += lines.length;
  };
  for (const file of files) {
    const source = readFileSync(path.join(root, file), 'utf8');
    if (!assemblyFiles.test(file) && file !== stackSwitch)
      report(file, findAssembly(source), 'inline assembly belongs in csrc/cuda/ptx');
    if (file.startsWith('csrc/cuda/') && file !== discardFile)
      report(
        file,
        findCasts(source),
        `use discard of ${discardFile}, which takes the reason why the result does not matter`,
      );
    if (file.startsWith('csrc/addon/')) {
      report(
        file,
        findUnsafeCalls(source),
        'can end the process when JavaScript is terminated; see csrc/addon/javascript.h',
      );
    }
  }
  return clangFormat(root, ['--dry-run', '-Werror'], files) && found === 0;
}

if (require.main === module) {
  if (!main()) process.exit(1);
  console.log('native sources checked');
}
