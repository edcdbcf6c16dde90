// `node --require ./scripts/typescript-hook.js file.ts` runs TypeScript: types are erased as a file is loaded and
// not checked (`npm run typecheck` does that). For benchmarks, examples and scripts of the repository.
'use strict';
const { readFileSync } = require('node:fs');
const ts = require('typescript');

process.setSourceMapsEnabled(true);
require.extensions['.ts'] = (module, fileName) => {
  const { outputText } = ts.transpileModule(readFileSync(fileName, 'utf8'), {
    fileName,
    compilerOptions: {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.CommonJS,
      esModuleInterop: true,
      inlineSourceMap: true,
    },
  });
  module._compile(outputText, fileName);
};
