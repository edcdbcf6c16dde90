// A decoding step over a KV cache, captured once for texts that grow, end and begin.
import type { KvCache } from '../../lib/nn/kv-cache';
import { capture } from '../../lib/tensor/capture';
import { treeAttention, type AttentionShape } from '../../lib/tensor/ops/attention/attention';
import { kvAppend, kvCompact, type TreeRows } from '../../lib/tensor/ops/attention/kv-cache';
import type { Tensor } from '../../lib/tensor/tensor';
import { rowWidth, type Draft } from './decoding-cache';
import { encode } from './half';
import { wildIndices } from './trees';

/** One step over all sequences of a cache of one layer, for trees of at most `rows` rows in all; the others are padding. */
export class CapturedStep implements Disposable {
  readonly #tree: TreeRows;
  readonly #qkv: Tensor;
  readonly #path: Tensor;
  readonly #counts: Tensor;
  readonly #attend;
  readonly #compact;

  constructor(
    private readonly cache: KvCache,
    private readonly shape: AttentionShape,
    private readonly rows: number,
    dtype: 'float32' | 'bfloat16' = 'float32',
  ) {
    const { device, sequences } = cache;
    this.#tree = {
      rowOffsets: device.tensor(new Int32Array(sequences + 1)),
      lengths: device.tensor(new Int32Array(sequences)),
      parents: device.tensor(new Int32Array(rows)),
    };
    this.#qkv = device.zeros([rows, rowWidth(shape)], dtype);
    this.#path = device.tensor(new Int32Array(sequences * rows), [sequences, rows]);
    this.#counts = device.tensor(new Int32Array(sequences));
    this.#attend = capture(device, () => {
      kvAppend(cache, 0, this.#qkv, this.#tree, shape.heads);
      return { out: treeAttention(cache, 0, this.#qkv, this.#tree, shape).cast('float32') };
    });
    this.#compact = capture(device, () => {
      kvCompact(cache, this.#tree.rowOffsets, this.#tree.lengths, this.#path, this.#counts);
      return {};
    });
  }

  /** Attention of the nodes of a tree for each sequence. */
  async forward(drafts: readonly Draft[]): Promise<Float32Array> {
    const { lengths } = this.cache;
    const offsets = offsetsOf(drafts);
    const parents = drafts.flatMap((draft, s) =>
      draft.parents.map((parent) => (parent < 0 ? -1 : offsets[s]! + parent)),
    );
    this.#tree.rowOffsets.write(Int32Array.from(offsets));
    this.#tree.lengths.write(lengths);
    this.#tree.parents.write(Int32Array.from([...parents, ...wildIndices(this.rows - parents.length)]));
    const values = new Float32Array(this.rows * rowWidth(this.shape)).fill(NaN);
    for (const [r, row] of drafts.flatMap(({ rows }) => rows).entries())
      values.set(row, r * rowWidth(this.shape));
    this.#qkv.write(this.#qkv.dtype === 'bfloat16' ? encode(values, 'bfloat16') : values);
    this.#attend.replay();
    const out = (await this.#attend.result.out.data()) as Float32Array;
    return out.slice(0, offsets.at(-1)! * this.shape.heads * this.shape.headDim);
  }

  /** Commits a path of each tree. */
  accept(drafts: readonly Draft[], paths: readonly (readonly number[])[]): void {
    const offsets = offsetsOf(drafts);
    const path = new Int32Array(drafts.length * this.rows).fill(-1);
    for (const [s, nodes] of paths.entries()) {
      path.set(
        nodes.map((node) => offsets[s]! + node),
        s * this.rows,
      );
    }
    this.#path.write(path);
    this.#counts.write(Int32Array.from(paths, ({ length }) => length));
    this.#compact.replay();
    this.cache.advance(paths.map(({ length }) => length));
  }

  [Symbol.dispose](): void {
    const { rowOffsets, lengths, parents } = this.#tree;
    const held = [
      rowOffsets,
      lengths,
      parents,
      this.#qkv,
      this.#path,
      this.#counts,
      this.#attend,
      this.#compact,
    ];
    for (const each of held) each.dispose();
  }
}

function offsetsOf(drafts: readonly Draft[]): number[] {
  const offsets = [0];
  for (const { parents } of drafts) offsets.push(offsets.at(-1)! + parents.length);
  return offsets;
}
