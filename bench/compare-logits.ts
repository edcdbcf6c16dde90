// Compares the logits and the greedy tokens of small random models of every family with those of llama.cpp, which reads them as GGUF.
//
//   npm install --ignore-scripts            # in bench/peers: llama.cpp's libraries and source for 64-bit Linux on x86
//   node --require ./scripts/typescript-hook.js bench/compare-logits.ts [--record]
//
// --record writes what llama.cpp computed to test/fixtures/llama-cpp-logits.json, which test/model/gguf/llama-cpp.test.ts holds.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { saveGguf } from '../lib/model/gguf/write';
import { createTokenizer, byteTokenizerFiles } from '../lib/model/tokenizer';
import { openDevice } from '../lib/tensor/device';
import {
  compareWithReference,
  FAMILY_MODELS,
  GREEDY_TOKENS,
  PROMPT,
  randomModel,
  type Reference,
} from '../test/support/family-models';
import { PEERS, unpackLlamaCpp } from './llama-cpp';

const LIBRARIES = join(PEERS, 'node_modules/@node-llama-cpp/linux-x64/bins/linux-x64');
const FIXTURE = join(__dirname, '../test/fixtures/llama-cpp-logits.json');

/** Builds the program against the libraries of the package and the headers of the same version's source. */
function build(directory: string): string {
  const source = unpackLlamaCpp(directory);
  const program = join(directory, 'llama-logits');
  const includes = ['include', 'ggml/include'].map((folder) => `-I${join(source, folder)}`);
  const libraries = ['libllama.v0.5.0.so', 'libggml.v0.5.0.so', 'libggml-base.so'];
  execFileSync('c++', [
    ...['-O1', '-std=c++17', join(PEERS, 'llama-logits.cpp'), '-o', program, ...includes],
    ...libraries.map((name) => join(LIBRARIES, name)),
    ...[`-Wl,-rpath,${LIBRARIES}`, '-Wl,--allow-shlib-undefined'],
  ]);
  return program;
}

async function main(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'foretoken-llama-'));
  const references: Record<string, Reference> = {};
  using device = openDevice('cpu', { threads: 1 });
  const tokenizer = createTokenizer(byteTokenizerFiles());
  try {
    const program = build(directory);
    for (const [name, options] of Object.entries(FAMILY_MODELS)) {
      using model = await randomModel(device, options);
      const path = join(directory, 'model.gguf');
      await saveGguf(path, model, tokenizer);
      const numbers = [GREEDY_TOKENS, ...PROMPT].map(String);
      const text = execFileSync(program, [LIBRARIES, path, ...numbers], {
        maxBuffer: 1 << 28,
        encoding: 'utf8',
      });
      const theirs = JSON.parse(text) as { logits: number[]; tokens: number[] };
      const last = Float32Array.from(theirs.logits.slice(-options.vocabSize));
      const { difference, size, alike } = await compareWithReference(
        model,
        Float32Array.from(theirs.logits),
        theirs.tokens,
      );
      console.log(
        `${name}: logits up to ${size.toFixed(2)} differ by ${difference.toExponential(1)}; ${alike} tokens alike`,
      );
      references[name] = { logits: Buffer.from(last.buffer).toString('base64'), tokens: theirs.tokens };
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
  if (process.argv.includes('--record')) writeFileSync(FIXTURE, `${JSON.stringify(references, null, 2)}\n`);
}

void main();
