import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

/** Programs and packages that benchmarks compare with. */
export const PEERS = join(__dirname, 'peers');
const BUNDLE = join(PEERS, 'node_modules/node-llama-cpp/llama/gitRelease.bundle');

/** Unpacks llama.cpp's source, which its package for Node contains, into a directory and returns the path. */
export function unpackLlamaCpp(directory: string): string {
  const source = join(directory, 'llama.cpp');
  execFileSync('git', ['clone', '--quiet', '--config', 'advice.detachedHead=false', BUNDLE, source]);
  return source;
}
