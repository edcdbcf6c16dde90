#!/usr/bin/env bash
# @huggingface/tokenizers 0.2.0 reads tokenizer.json in JavaScript.
#
# A good guess: the sections `truncation` and `padding` of the file apply, as in the Rust library of the same name (0.23.2 gave the values
# below); tokenizer.json of embedding models relies on them. And every id is a number.
# Observed: both sections are ignored, without an error. With a WordLevel model a word outside the vocabulary gets the id `undefined`,
# although the model names its unk_token; only the unk_token of tokenizer_config.json counts. Models WordPiece and BPE read their own.
# Consequence: cut and pad the ids yourself. An Int32Array turns `undefined` into the id 0, so check the ids for it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @huggingface/tokenizers@0.2.0
cat >check.cjs <<'EOS'
const { Tokenizer } = require('@huggingface/tokenizers');

const file = (more) => ({
  ...{ version: '1.0', truncation: null, padding: null, added_tokens: [], normalizer: null },
  ...{ pre_tokenizer: { type: 'Whitespace' }, post_processor: null, decoder: null },
  model: { type: 'WordLevel', unk_token: '[UNK]', vocab: { '[PAD]': 0, a: 1, b: 2, '[UNK]': 7 } },
  ...more,
});
const truncation = { direction: 'Right', max_length: 3, strategy: 'LongestFirst', stride: 0 };
const padding = {
  ...{ strategy: { Fixed: 6 }, direction: 'Right', pad_to_multiple_of: null },
  ...{ pad_id: 0, pad_type_id: 0, pad_token: '[PAD]' },
};
const wordPiece = {
  ...{ type: 'WordPiece', unk_token: '[UNK]', continuing_subword_prefix: '##', max_input_chars_per_word: 100 },
  vocab: { a: 1, b: 2, '[UNK]': 7 },
};
const cases = [
  // what, tokenizer.json, tokenizer_config.json, text, ids here, ids of the Rust library
  ['truncation to 3', file({ truncation }), {}, 'a b a b a', '1 2 1 2 1', '1 2 1'],
  ['padding to 6', file({ padding }), {}, 'a b', '1 2', '1 2 0 0 0 0'],
  ['an unknown word', file(), {}, 'a z b', '1 undefined 2', '1 7 2'],
  ['unk_token in the config, too', file(), { unk_token: '[UNK]' }, 'a z b', '1 7 2', '1 7 2'],
  ['WordPiece', file({ model: wordPiece }), {}, 'a z b', '1 7 2', '1 7 2'],
];
let changed = 0;
for (const [what, json, config, text, observed, rust] of cases) {
  const given = new Tokenizer(json, config).encode(text).ids.map(String).join(' ');
  console.log(`${what}: "${text}" → ${given} (Rust: ${rust})`);
  if (given !== observed) changed += 1;
}
if (changed > 0) console.error(`${changed} results differ from what was observed`);
process.exit(changed > 0 ? 1 : 0);
EOS
node check.cjs
