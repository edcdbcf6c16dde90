#!/usr/bin/env bash
# @mlc-ai/web-xgrammar 0.1.27 compiles a JSON schema into a grammar that constrains a model's output.
#
# A good guess: text that the grammar accepts satisfies the schema, or the compiler refuses a keyword that it cannot keep.
# Observed: bounds of numbers become patterns of digits that are too wide and too narrow at once. An integer from 0 to 150
# may be 155 (but not 160); a number from 0 to 1 may be 1.5; a number of at least 0 may not be 0.5. `multipleOf`,
# `uniqueItems` and `not` are dropped without an error.
# Consequence: validate the finished text against the schema as well, even if a grammar constrained it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @mlc-ai/web-xgrammar@0.1.27
# The package declares itself an ES module but ships a CommonJS file, so it loads only under a name that ends in .cjs.
cp node_modules/@mlc-ai/web-xgrammar/lib/index.js xgrammar.cjs
cat >check.cjs <<'EOF'
const xgrammar = require('./xgrammar.cjs');
const letters = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i));
const vocabulary = ['<end>', ...letters];

const observed = [
  [{ type: 'integer', minimum: 0, maximum: 150 }, '150', true],
  [{ type: 'integer', minimum: 0, maximum: 150 }, '155', true], // beyond the maximum
  [{ type: 'integer', minimum: 0, maximum: 150 }, '160', false],
  [{ type: 'number', minimum: 0, maximum: 1 }, '1.5', true], // beyond the maximum
  [{ type: 'number', minimum: 0 }, '0.5', false], // within the bounds
  [{ type: 'integer', multipleOf: 5 }, '7', true],
  [{ type: 'array', items: { type: 'integer' }, uniqueItems: true }, '[1, 1]', true],
  [{ not: { type: 'integer' } }, '1', true],
];

(async () => {
  const tokenizer = await xgrammar.TokenizerInfo.createTokenizerInfo(vocabulary, 'raw', false, vocabulary.length, [0]);
  const compiler = await xgrammar.GrammarCompiler.createGrammarCompiler(tokenizer);
  let changed = 0;
  for (const [schema, text, expected] of observed) {
    const grammar = await compiler.compileJSONSchema(JSON.stringify(schema));
    const matcher = await xgrammar.GrammarMatcher.createGrammarMatcher(grammar);
    const accepted = [...text].every((letter) => matcher.acceptToken(vocabulary.indexOf(letter))) && matcher.acceptToken(0);
    console.log(`${JSON.stringify(schema)}: ${text} is ${accepted ? 'accepted' : 'refused'}`);
    if (accepted !== expected) changed += 1;
  }
  if (changed > 0) console.error(`${changed} results differ from what was observed`);
  process.exit(changed > 0 ? 1 : 0);
})();
EOF
node check.cjs
