// `node --require ./scripts/typescript-hook.js file.ts` runs TypeScript. It erases types as it loads a file and does not check
// them; `npm run typecheck` does. Benchmarks, examples and scripts of the repository run this way.
'use strict';
const { createHash } = require('node:crypto');
const { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } = require('node:fs');
const path = require('node:path');

const compilerOptions = {
  target: 'ES2022',
  module: 'CommonJS',
  esModuleInterop: true,
  inlineSourceMap: true,
};
const { version } = require('typescript/package.json');
// Keeps JavaScript, because loading the compiler and erasing the types of the whole library takes a second or two.
const cache = path.join(__dirname, '../build/erased-types');

/** Returns the JavaScript of a file from the cache, whose names hash all inputs of the compiler, or from the compiler. */
function javascriptOf(fileName) {
  const text = readFileSync(fileName, 'utf8');
  const parts = JSON.stringify([version, compilerOptions, path.basename(fileName), text]);
  const cached = path.join(cache, `${createHash('sha256').update(parts).digest('hex')}.js`);
  try {
    return readFileSync(cached, 'utf8');
  } catch {
    const { outputText } = require('typescript').transpileModule(text, { fileName, compilerOptions });
    keep(cached, outputText);
    return outputText;
  }
}

/** Writes a file atomically, because other processes read it. If the folder cannot be written, there is no cache. */
function keep(file, text) {
  const unfinished = `${file}.${process.pid}`;
  try {
    mkdirSync(cache, { recursive: true });
    writeFileSync(unfinished, text);
    renameSync(unfinished, file);
  } catch {
    rmSync(unfinished, { force: true });
  }
}

process.setSourceMapsEnabled(true);
require.extensions['.ts'] = (module, fileName) => module._compile(javascriptOf(fileName), fileName);
