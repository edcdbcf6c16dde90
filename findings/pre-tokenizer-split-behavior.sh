#!/usr/bin/env bash
# @huggingface/tokenizers 0.2.0 reads tokenizer.json in JavaScript.
# A good guess: the package gives the ids of the Rust library of the same name, or refuses a pre-tokenizer that it lacks.
# Observed: the pre-tokenizer Split treats every `behavior` as Isolated. The Rust library, by its documentation, cuts "a--b" at "-" into
# [a, b] (Removed), [a, -, -, b] (Isolated), [a-, -, b] (MergedWithPrevious), [a, -, -b] (MergedWithNext) and
# [a, --, b] (Contiguous); here all five give [a, -, -, b], without an error.
# Consequence: a tokenizer that uses another behavior trains and prompts a model on ids that it has never seen. Only the quality of the text would show it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @huggingface/tokenizers@0.2.0
cat >check.cjs <<'EOF'
const { Tokenizer } = require('@huggingface/tokenizers');

const vocab = { '?': 0, a: 1, b: 2, '-': 3, 'a-': 4, '-b': 5, '--': 6 };
const right = {
  Removed: ['a', 'b'],
  Isolated: ['a', '-', '-', 'b'],
  MergedWithPrevious: ['a-', '-', 'b'],
  MergedWithNext: ['a', '-', '-b'],
  Contiguous: ['a', '--', 'b'],
};
const isolated = right.Isolated.join(' ');
let changed = 0;
for (const [behavior, pieces] of Object.entries(right)) {
  const tokenizer = new Tokenizer(
    {
      ...{ version: '1.0', truncation: null, padding: null, added_tokens: [], normalizer: null },
      pre_tokenizer: { type: 'Split', pattern: { String: '-' }, behavior, invert: false },
      ...{ post_processor: null, decoder: null, model: { type: 'WordLevel', unk_token: '?', vocab } },
    },
    {},
  );
  const given = tokenizer.tokenize('a--b').join(' ');
  console.log(`${behavior}: ${given} (the Rust library: ${pieces.join(' ')})`);
  if (given !== isolated) changed += 1;
}
if (changed > 0) console.error(`${changed} behaviors are no longer treated as Isolated`);
process.exit(changed > 0 ? 1 : 0);
EOF
node check.cjs
