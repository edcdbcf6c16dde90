// Exact speculation rests on this: a row of a decoding step has the same bits whatever rows stand beside it, at the sizes
// of a real model. The rows of a batch of 64 are compared with the same rows in batches of M, for every M. Emulated devices
// use smaller sizes and fewer M.
import type { ActivationDType } from '../../../lib/native/binding';
import { noGrad } from '../../../lib/tensor/autograd';
import type { Device } from '../../../lib/tensor/device';
import { KvCache } from '../../../lib/nn/kv-cache';
import { treeAttention } from '../../../lib/tensor/ops/attention/attention';
import { add, concat, sigmoidGate, silu } from '../../../lib/tensor/ops/layers/elementwise';
import { embedding } from '../../../lib/tensor/ops/layers/embedding';
import { glu } from '../../../lib/tensor/ops/layers/glu';
import { kvAppend, type TreeRows } from '../../../lib/tensor/ops/attention/kv-cache';
import { linear, packWeight } from '../../../lib/tensor/ops/linear/linear';
import { gatedRmsNorm, rmsNorm } from '../../../lib/tensor/ops/layers/rms-norm';
import { rope, ropeTable } from '../../../lib/tensor/ops/layers/rope';
import { commitRecurrent } from '../../../lib/tensor/ops/recurrent/commit-recurrent';
import { gatedDelta } from '../../../lib/tensor/ops/recurrent/gated-delta';
import { shortConvolution } from '../../../lib/tensor/ops/recurrent/short-convolution';
import { proposeTokens } from '../../../lib/tensor/ops/sampling/propose-tokens';
import { linearSample, sampleLogits, topK } from '../../../lib/tensor/ops/sampling/sampling';
import { uploadTrees } from '../../../lib/tensor/ops/attention/tree-rows';
import { readPaths, verifyTree } from '../../../lib/tensor/ops/sampling/verify-tree';
import { RecurrentStates } from '../../../lib/tensor/recurrent-states';
import { scope } from '../../../lib/tensor/scope';
import type { Tensor } from '../../../lib/tensor/tensor';
import { isaLevels, onCpu } from '../../support/cpu';
import { chain, randomTree } from '../../support/decoding-cache';
import { isEmulated, onDevice, targets, type Target } from '../../support/devices';
import { Random } from '../../support/random';

const MOST = 64;

const real = {
  dim: 512,
  gated: 1376,
  vocab: 32_000,
  shape: { heads: 8, kvHeads: 4, headDim: 64, scale: 1 / 8 },
  recurrent: { keyHeads: 8, valueHeads: 16, keyDim: 128, valueDim: 128, taps: 4 },
  length: 1003,
  counts: Array.from({ length: MOST - 1 }, (_, i) => i + 1),
};
const small: typeof real = {
  dim: 136,
  gated: 344,
  vocab: 1000,
  shape: { heads: 4, kvHeads: 2, headDim: 32, scale: 1 / 8 },
  recurrent: { keyHeads: 1, valueHeads: 2, keyDim: 64, valueDim: 48, taps: 4 },
  length: 70,
  counts: [1, 2, 7, 8, 9, 16, 17, 32, 33, 63],
};

/** Made once, because sixteen million numbers take a while. */
const unembedding = new Random(1).floats(real.vocab * real.dim, 0.2);

type Bits = Uint32Array | Uint16Array;

async function bitsOf(tensors: readonly Tensor[]): Promise<Bits[]> {
  return Promise.all(
    tensors.map(async (tensor) => {
      const data = await tensor.data();
      tensor.dispose();
      return data instanceof Uint16Array ? data : new Uint32Array(data.buffer, data.byteOffset, data.length);
    }),
  );
}

/** A range of the 64 rows: how many, and the first one. */
type Rows = [rows: number, first: number];

/** The first of M rows: any row, or row 0 if rows depend on the rows before them. */
type From = (rows: number) => number;
const anywhere: From = (rows) => (7 * rows) % (MOST - rows + 1);
const beginning: From = () => 0;

/** Expects each result of `op` on M rows, for all M of `counts`, to be the same M rows of its result on all 64. */
async function expectInvariant(
  counts: readonly number[],
  from: From,
  op: (...rows: Rows) => Tensor[],
): Promise<void> {
  const run = (...rows: Rows): Promise<Bits[]> => bitsOf(noGrad(() => scope(() => op(...rows))));
  const whole = await run(MOST, 0);
  for (const bits of whole) expect(new Set(bits.subarray(0, 4096)).size).toBeGreaterThan(8); // not all the same
  for (const rows of counts) {
    const part = await run(rows, from(rows));
    part.forEach((bits, i) => {
      const width = bits.length / rows;
      const begin = from(rows) * width;
      const expected = whole[i]!.subarray(begin, begin + bits.length);
      const [a, b] = [bits, expected].map((x) => Buffer.from(x.buffer, x.byteOffset, x.byteLength));
      const at = a!.equals(b!) ? -1 : bits.findIndex((word, j) => word !== expected[j]);
      expect({ rows, result: i, row: Math.floor(at / width) }).toEqual({ rows, result: i, row: -1 });
    });
  }
}

const integers = (device: Device, limit: number): ((...rows: Rows) => Tensor) => {
  const random = new Random(limit);
  const all = device.tensor(Int32Array.from({ length: MOST }, () => random.integer(limit)));
  return (rows, first) => all.view(first, [rows]);
};

interface Variant {
  name: string;
  target: Target;
  threads?: number;
  dtype: ActivationDType;
}

const variants = targets.flatMap((target): Variant[] => {
  const level = isaLevels.findIndex((isa) => isa === target);
  if (level < 0) {
    return (['float32', 'bfloat16'] as const).map((dtype) => ({
      name: `${dtype} on ${target}`,
      target,
      dtype,
    }));
  }
  // One thread and several on the best level; the other levels are slower, so two threads alone.
  return (level === 0 ? [1, 3] : [2]).map((threads) => ({
    ...{ name: `${target}, ${threads} threads`, target, threads, dtype: 'float32' },
  }));
});

describe.each(variants)('$name', ({ target, threads, dtype }) => {
  const { dim, gated, vocab, shape, recurrent, length, counts } = isEmulated(target) ? small : real;
  const qkvWidth = (shape.heads + 2 * shape.kvHeads) * shape.headDim;
  const onVariant = (fn: (device: Device) => Promise<void>): Promise<void> =>
    threads === undefined
      ? onDevice(target, fn)
      : onCpu({ isa: isaLevels.find((isa) => isa === target), threads }, fn);
  const matrix = (device: Device, rows: number, cols: number): Tensor =>
    device.tensor(unembedding.subarray(0, rows * cols), [rows, cols]).cast(dtype);
  const someRows = (device: Device, width: number, seed: number): ((...rows: Rows) => Tensor) => {
    const all = device.tensor(new Random(seed).floats(MOST * width), [MOST, width]).cast(dtype);
    return (rows, first) => all.view(first * width, [rows, width]);
  };

  // q, k and v; gate and up; down; the unembedding.
  test.each([
    [dim, qkvWidth],
    [dim, 2 * gated],
    [gated, dim],
    [dim, vocab],
  ])('linear from %i to %i', (inputs, outputs) =>
    onVariant(async (device) => {
      const x = someRows(device, inputs, 2);
      const weight = matrix(device, outputs, inputs);
      const packed = packWeight(weight);
      const bias = device.tensor(new Random(3).floats(outputs));
      await expectInvariant(counts, anywhere, (...rows) => [
        linear(x(...rows), weight, bias),
        linear(x(...rows), packed, null, 'float32'),
      ]);
    }),
  );

  test('row by row', () =>
    onVariant(async (device) => {
      const [a, b, wide] = [
        someRows(device, dim, 4),
        someRows(device, dim, 5),
        someRows(device, 2 * gated, 6),
      ];
      const gain = device.tensor(new Random(7).floats(dim));
      const headGain = gain.view(0, [dim / 4]);
      const table = ropeTable(device, 2048, {
        frequencies: Array.from({ length: shape.headDim / 2 }, (_, i) => 0.9 ** i),
      });
      const weight = matrix(device, 1000, dim);
      const [positions, tokens, qkv] = [
        integers(device, 2048),
        integers(device, 1000),
        someRows(device, qkvWidth, 8),
      ];
      const heads = { heads: qkvWidth / shape.headDim, rotatedHeads: shape.heads + shape.kvHeads };
      await expectInvariant(counts, anywhere, (...rows) => [
        rmsNorm(a(...rows), gain, 1e-6),
        add(a(...rows), b(...rows)),
        concat(a(...rows), b(...rows)),
        silu(a(...rows)),
        sigmoidGate(a(...rows), b(...rows)),
        gatedRmsNorm(a(...rows), b(...rows), headGain, 1e-6),
        glu(wide(...rows), 'silu'),
        glu(wide(...rows), 'gelu_tanh'),
        rope(qkv(...rows), positions(...rows), table, heads),
        embedding(tokens(...rows), weight),
      ]);
    }));

  test.each([
    ['chains', chain(MOST)],
    ['trees', randomTree(new Random(9), MOST)],
  ])('attention of %s', (_, parents) =>
    onVariant(async (device) => {
      const capacity = length + 97;
      const prefix = device.tensor(new Random(10).floats(length * qkvWidth), [length, qkvWidth]).cast(dtype);
      const qkv = someRows(device, qkvWidth, 11);
      const { kvHeads, headDim } = shape;
      const cache = new KvCache(device, { layers: 1, kvHeads, headDim, capacity, dtype });
      cache.reserve(0, capacity);
      const committed = uploadTrees(device, [{ parents: chain(length), length: 0 }]);
      kvAppend(cache, 0, prefix, committed, shape.heads);
      await expectInvariant(counts, beginning, (rows, first) => {
        const tree = uploadTrees(device, [{ parents: parents.slice(0, rows), length }]);
        kvAppend(cache, 0, qkv(rows, first), tree, shape.heads);
        // Windows that end among the rows, and in pages that only some of the rows read.
        return [{}, { window: 20 }, { window: 100 }].map((window) =>
          treeAttention(cache, 0, qkv(rows, first), tree, { ...shape, ...window }),
        );
      });
    }),
  );

  test.each([
    ['chains', chain(MOST)],
    ['trees', randomTree(new Random(9), MOST)],
  ])('recurrent layers of %s', (_, parents) =>
    onVariant(async (device) => {
      const states = new RecurrentStates(device, { ...recurrent, layers: 1, sequences: 1 });
      states.reserve(0);
      const { channels } = states;
      const [x, a, b] = [channels, recurrent.valueHeads, recurrent.valueHeads].map((width, i) =>
        someRows(device, width, 14 + i),
      );
      const gates = {
        decay: device.tensor(new Random(17).floats(recurrent.valueHeads)),
        bias: device.tensor(new Random(18).floats(recurrent.valueHeads)),
      };
      const weights = new Random(19).floats(channels * recurrent.taps);
      const weight = device.tensor(weights, [channels, recurrent.taps]);
      const inputsOf = (rows: number, first: number, tree: TreeRows) => ({
        ...{ qkv: shortConvolution(states, 0, x!(rows, first), weight, tree), ...gates },
        ...{ a: a!(rows, first), b: b!(rows, first) },
      });
      const committed = uploadTrees(device, [{ parents: chain(MOST), length: 0 }]);
      const path = device.tensor(
        Int32Array.from({ length: MOST }, (_, row) => row),
        [1, MOST],
      );
      const inputs = { x: x!(MOST, 0), ...inputsOf(MOST, 0, committed) };
      const all = device.tensor(Int32Array.of(MOST));
      commitRecurrent(states, 0, inputs, committed.rowOffsets, path, all);
      await expectInvariant(counts, beginning, (rows, first) => {
        const tree = uploadTrees(device, [{ parents: parents.slice(0, rows), length: MOST }]);
        const inputs = inputsOf(rows, first, tree);
        return [inputs.qkv, gatedDelta(states, 0, inputs, tree)];
      });
    }),
  );

  test('draws', () =>
    onVariant(async (device) => {
      const hidden = someRows(device, dim, 12);
      const weight = matrix(device, vocab, dim);
      const packed = packWeight(weight);
      const positions = integers(device, 5);
      const logits = noGrad(() => linear(hidden(MOST, 0), packed, null, 'float32'));
      await expectInvariant(counts, anywhere, (...rows) => {
        const at = positions(...rows);
        const seen = logits.view(rows[1] * vocab, [rows[0], vocab]);
        const { indices, values } = topK(seen, 8);
        const sampling = { temperature: 0.8, seed: 5 };
        const { tokens, weights } = proposeTokens(seen, { positions: at, sampling, k: 4 });
        return [
          linearSample(hidden(...rows), weight),
          linearSample(hidden(...rows), packed, { positions: at, temperature: 0.8, seed: 3 }),
          sampleLogits(seen, at, { temperature: 1, topK: 50, topP: 0.9, minP: 0.01, seed: 4 }),
          ...[indices, values, tokens, weights],
        ];
      });
    }));

  test.each([{ temperature: 0 }, { temperature: 0.9, seed: 5 }, { temperature: 0.9, topP: 0.95, seed: 6 }])(
    'verification with %j',
    (sampling) =>
      onVariant(async (device) => {
        const hidden = someRows(device, dim, 13);
        const weight = packWeight(matrix(device, vocab, dim));
        const before = 7;
        // Every node of a chain holds the token drawn at the node before, so the walk visits all rows.
        const positions = device.tensor(Int32Array.from({ length: MOST }, (_, row) => before + row + 1));
        const logits = noGrad(() => linear(hidden(MOST, 0), weight, null, 'float32'));
        const drawn = Array.from((await sampleLogits(logits, positions, sampling).data()) as Int32Array);
        const tokens = device.tensor(Int32Array.from([0, ...drawn.slice(0, -1)]));
        for (const rows of [...counts, MOST]) {
          const tree = uploadTrees(device, [{ parents: chain(rows), length: before }]);
          const batch = { hidden: hidden(rows, 0), weight, tokens: tokens.view(0, [rows]), tree, sampling };
          const [path] = await readPaths(verifyTree(batch), tree);
          expect(path!.nodes).toHaveLength(rows);
          expect(path!.tokens).toEqual(drawn.slice(0, rows));
        }
      }),
  );
});
