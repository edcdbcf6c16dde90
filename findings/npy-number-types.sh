#!/usr/bin/env bash
# npyjs 1.2.0 writes .npy files for NumPy. Its README: "Dump a plain array (dtype is inferred)".
#
# A good guess: JavaScript's numbers are float64, so a plain array becomes float64 (`<f8`), or at least a type that holds every value.
# Observed: the type depends on the values. Whole numbers get the smallest integer type that holds them, all others float32, which loses
# digits: 123456789.5 becomes 123456792. So files of one program differ in type, and small integers wrap around in NumPy: for [1, 2, 3]
# np.load(file) - 2 is [255, 0, 1]. With a whole number from 2^32 on, dump throws. A Float64Array keeps its type.
# Consequence: give dump a typed array, or the option dtype.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund npyjs@1.2.0
cat >check.mjs <<'EOS'
import { dump } from 'npyjs';

/** Reads the type and the values of a .npy file of version 1 as NumPy does. */
function read(buffer) {
  const bytes = Buffer.from(buffer);
  const length = bytes.readUInt16LE(8);
  const type = /'descr': *'([^']+)'/.exec(bytes.subarray(10, 10 + length).toString('latin1'))[1];
  const types = { u1: Uint8Array, u2: Uint16Array, i1: Int8Array, i2: Int16Array, f4: Float32Array, f8: Float64Array };
  const data = Uint8Array.from(bytes.subarray(10 + length)).buffer;
  return `${type} ${[...new types[type.slice(-2)](data)].join(' ')}`;
}

const cases = [
  // values, observed
  [[1, 2, 3], '|u1 1 2 3'],
  [[1, 2, 300], '<u2 1 2 300'],
  [[-1, 2, 3], '|i1 -1 2 3'],
  [[-1, 200], '<i2 -1 200'],
  [[123456789.5], '<f4 123456792'],
  [[0.1, 16777217.5], '<f4 0.10000000149011612 16777218'],
  [[1, 2 ** 32], 'throws: Cannot convert 1 to a BigInt'],
  [Float64Array.of(123456789.5), '<f8 123456789.5'],
];
let changed = 0;
for (const [values, observed] of cases) {
  let given;
  try {
    given = read(dump(values, [values.length]));
  } catch (error) {
    given = `throws: ${error.message}`;
  }
  console.log(`${values.constructor.name} [${[...values].join(', ')}]: ${given}`);
  if (given !== observed) changed += 1;
}
if (changed > 0) console.error(`${changed} results differ from what was observed`);
process.exit(changed > 0 ? 1 : 0);
EOS
node check.mjs
