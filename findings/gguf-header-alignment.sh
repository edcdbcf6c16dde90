#!/usr/bin/env bash
# @huggingface/gguf 0.4.6 reads GGUF files, and writes a new header for a file whose metadata was changed.
#
# A good guess: buildGgufHeader keeps the alignment that the file itself declares (general.alignment); gguf() reads by it.
# Observed: buildGgufHeader pads to 32 bytes unless it is told otherwise. A file that declares 64 gets, for about half of all lengths of
# the metadata, a header after which every reader looks for the weights 32 bytes too far on: all values are shifted, without an error.
# Also, arrays of uint8 (tokenizer.ggml.precompiled_charsmap of T5 and XLM-R tokenizers) cannot be written back: their type is number 0,
# which counts as missing.
# Consequence: pass `alignment: Number(metadata['general.alignment'] ?? 32)`, and compare a weight before and after.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @huggingface/gguf@0.4.6
cat >check.cjs <<'EOS'
const { readFileSync, writeFileSync } = require('node:fs');
const { buildGgufHeader, gguf, GGUFValueType } = require('@huggingface/gguf');

const u32 = (value) => Buffer.from(Uint32Array.of(value).buffer);
const u64 = (value) => Buffer.from(BigUint64Array.of(BigInt(value)).buffer);
const text = (value) => Buffer.concat([u64(value.length), Buffer.from(value)]);
const WEIGHTS = Float32Array.from({ length: 32 }, (_, i) => i + 1);

/** A file with one tensor of 32 floats, and with metadata. */
function fileWith(...entries) {
  const head = Buffer.concat([
    ...[Buffer.from('GGUF'), u32(3), u64(1), u64(entries.length), ...entries],
    ...[text('w'), u32(1), u64(WEIGHTS.length), u32(0), u64(0)],
  ]);
  return Buffer.concat([head, Buffer.alloc((64 - (head.length % 64)) % 64), Buffer.from(WEIGHTS.buffer)]);
}
const alignment = Buffer.concat([text('general.alignment'), u32(GGUFValueType.UINT32), u32(64)]);
const architecture = Buffer.concat([text('general.architecture'), u32(GGUFValueType.STRING), text('t5')]);
const bytes = Buffer.concat([
  ...[text('tokenizer.ggml.precompiled_charsmap'), u32(GGUFValueType.ARRAY)],
  ...[u32(GGUFValueType.UINT8), u64(3), Buffer.of(1, 2, 3)],
]);

const open = (path) => gguf(path, { allowLocalFile: true, typedMetadata: true });

/** Reads the first weights where the header says that they are. */
async function weightsOf(path) {
  const at = Number((await open(path)).tensorDataOffset);
  const file = readFileSync(path);
  return [0, 4, 8].map((byte) => file.readFloatLE(at + byte)).join();
}

/** Gives a file a name, as an editor of metadata does. */
async function rename(path, name, options) {
  const { typedMetadata, tensorDataOffset, littleEndian, tensorInfoByteRange } = await open(path);
  typedMetadata['general.name'] = { type: GGUFValueType.STRING, value: name };
  const file = readFileSync(path);
  const header = await buildGgufHeader(new Blob([file]), typedMetadata, {
    ...{ littleEndian, tensorInfoByteRange },
    ...options,
  });
  writeFileSync('renamed.gguf', Buffer.concat([Buffer.from(await header.arrayBuffer()), file.subarray(Number(tensorDataOffset))]));
  return weightsOf('renamed.gguf');
}

(async () => {
  writeFileSync('a.gguf', fileWith(architecture, alignment));
  console.log(`weights of the file: ${await weightsOf('a.gguf')}`);
  const seen = new Set();
  let shifted = 0;
  for (let length = 1; length <= 64; length += 1) {
    const weights = await rename('a.gguf', 'x'.repeat(length));
    seen.add(weights);
    if (weights !== '1,2,3') shifted += 1;
  }
  console.log(`after a new name of 1 to 64 letters: ${[...seen].join(' or ')}; wrong for ${shifted} of 64 lengths`);
  let right = 0;
  for (let length = 1; length <= 64; length += 1) {
    if ((await rename('a.gguf', 'x'.repeat(length), { alignment: 64 })) === '1,2,3') right += 1;
  }
  console.log(`with alignment: 64, right for ${right} of 64 lengths`);
  writeFileSync('b.gguf', fileWith(architecture, alignment, bytes));
  const refused = await rename('b.gguf', 'x', { alignment: 64 }).then(String, (error) => error.message);
  console.log(`a file with an array of uint8: ${refused}`);
  const same =
    [...seen].sort().join(' ') === '1,2,3 9,10,11' &&
    shifted === 32 &&
    right === 64 &&
    refused === 'Array type requires subType to be specified';
  if (!same) console.error('headers are built differently now');
  process.exit(same ? 0 : 1);
})();
EOS
node check.cjs
