// Compiles snippets for the emulator, for tests of what the compiler must refuse.
import { spawnSync } from 'node:child_process';
import path from 'node:path';

const root = path.join(__dirname, '../..');

/** The compiler's messages about a source in namespace foretoken::cuda, after these headers; empty if it compiles. */
export function compileForEmulator(headers: readonly string[], source: string): string {
  const options = [
    '-std=c++20',
    '-DFORETOKEN_EMULATED',
    '-Wno-unknown-pragmas',
    `-I${root}`,
    '-fsyntax-only',
    '-xc++',
    '-',
  ];
  const includes = headers.map((header) => `#include "${header}"\n`).join('');
  const { status, stderr } = spawnSync(process.env.CXX ?? 'c++', options, {
    input: `${includes}namespace foretoken::cuda {\n${source}\n}\n`,
    encoding: 'utf8',
  });
  return status === 0 ? '' : stderr;
}
