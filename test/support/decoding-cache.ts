import { native } from '../../lib/native/load';
import { KvCache } from '../../lib/nn/kv-cache';
import type { Device } from '../../lib/tensor/device';
import { treeAttention, type AttentionShape } from '../../lib/tensor/ops/attention/attention';
import { kvAppend, kvCompact, type TreeRows } from '../../lib/tensor/ops/attention/kv-cache';
import { Tensor } from '../../lib/tensor/tensor';
import { onDeviceOnly, take } from './cpu';
import { decode, representable } from './half';
import type { Random } from './random';
import { wildIndices } from './trees';

/** A draft tree of one sequence. */
export interface Draft {
  /** Parents, as indices in the tree; −1 is the last committed position. */
  parents: readonly number[];
  /** One row of qkv for each node. */
  rows: readonly Float32Array[];
}

export const rowWidth = (shape: AttentionShape): number => (shape.heads + 2 * shape.kvHeads) * shape.headDim;

export const chain = (rows: number): number[] => Array.from({ length: rows }, (_, row) => row - 1);

/** A tree in which the parent of every row is any earlier row. */
export const randomTree = (random: Random, rows: number): number[] =>
  Array.from({ length: rows }, (_, row) => random.integer(row + 1) - 1);

/** A node's ancestors, root first, itself last. */
export function pathTo(parents: readonly number[], node: number): number[] {
  return node < 0 ? [] : [...pathTo(parents, parents[node]!), node];
}

/** Makes a draft of random values that bfloat16 can hold. */
export function draftOf(random: Random, shape: AttentionShape, parents: readonly number[]): Draft {
  return { parents, rows: parents.map(() => representable(random.floats(rowWidth(shape), 2), 'bfloat16')) };
}

/** The nodes of a path as a chain, in the order of plain decoding. */
export function along(draft: Draft, path: readonly number[]): Draft {
  return { parents: chain(path.length), rows: path.map((node) => draft.rows[node]!) };
}

/** Positions of a page. */
export const PAGE = 64;

/**
 * A KV cache with the operations of a decoding loop. Rows are multiplied by l + 1 for layer l, so that layers differ. All positions are
 * reserved, page by page, so that the pages of a sequence lie apart.
 */
export class DecodingCache implements Disposable {
  readonly cache: KvCache;
  readonly lengths: number[];

  constructor(
    readonly device: Device,
    readonly shape: AttentionShape,
    readonly options: {
      capacity: number;
      sequences?: number;
      layers?: number;
      dtype?: 'float32' | 'bfloat16';
      /** Rows behind those of all trees, which no operation may read, and whether the host knows the trees. Default none. */
      padding?: { rows: number; isKnown: boolean };
    },
  ) {
    const { capacity, sequences = 1, layers = 1, dtype } = options;
    const { kvHeads, headDim } = shape;
    this.cache = new KvCache(device, { layers, kvHeads, headDim, capacity, sequences, dtype });
    for (let positions = 0; positions < capacity; positions += PAGE) {
      for (let s = 0; s < sequences; s++) this.cache.reserve(s, Math.min(positions + PAGE, capacity));
    }
    this.lengths = new Array<number>(sequences).fill(0);
  }

  /** Writes the rows of one tree for each sequence into every layer. */
  append(...drafts: readonly Draft[]): void {
    using tree = this.tree(drafts);
    for (let layer = 0; layer < this.#layers; layer++) {
      using qkv = this.#rows(drafts, layer);
      kvAppend(this.cache, layer, qkv, tree, this.shape.heads);
    }
  }

  /**
   * Writes the rows as `append` does.
   * @returns the attention of every row in the last layer, concatenated; padding comes last
   */
  async forward(...drafts: readonly Draft[]): Promise<Float32Array> {
    this.append(...drafts);
    using tree = this.tree(drafts);
    const layer = this.#layers - 1;
    using qkv = this.#rows(drafts, layer);
    using attended = treeAttention(this.cache, layer, qkv, tree, this.shape);
    return await take(attended.cast('float32'));
  }

  #rows(drafts: readonly Draft[], layer: number): Tensor {
    const rows = drafts.flatMap((draft) => draft.rows.map((row) => row.map((x) => x * (layer + 1))));
    const padding = new Float32Array(rowWidth(this.shape)).fill(NaN);
    return this.qkv([...rows, ...new Array<Float32Array>(this.#padding).fill(padding)]);
  }

  get #layers(): number {
    return this.options.layers ?? 1;
  }

  get #padding(): number {
    return this.options.padding?.rows ?? 0;
  }

  /** Commits one path for each sequence. */
  accept(drafts: readonly Draft[], paths: readonly (readonly number[])[]): void {
    const { device } = this;
    using tree = this.tree(drafts);
    const stride = Math.max(1, ...paths.map((path) => path.length)) + 1;
    const rows = new Int32Array(paths.length * stride).fill(-1);
    let first = 0;
    for (const [sequence, path] of paths.entries()) {
      rows.set(
        path.map((node) => first + node),
        sequence * stride,
      );
      first += drafts[sequence]!.parents.length;
    }
    using path = device.tensor(rows, [paths.length, stride]);
    using counts = device.tensor(Int32Array.from(paths, ({ length }) => length));
    kvCompact(this.cache, tree.rowOffsets, tree.lengths, path, counts);
    this.advance(paths.map(({ length }) => length));
  }

  /** Commits chains, whose rows already lie in place. */
  advance(counts: readonly number[]): void {
    for (const [sequence, count] of counts.entries()) this.lengths[sequence]! += count;
  }

  /** The cache's contents, with zeros in uncommitted slots, so that caches of any layout can be compared. */
  async committed(): Promise<Float32Array> {
    const zeros = this.lengths.map((length) => {
      const left = this.options.capacity - length;
      return { parents: chain(left), rows: chain(left).map(() => new Float32Array(rowWidth(this.shape))) };
    });
    this.append(...zeros);
    return await this.contents();
  }

  /** The contents of all pages of all sequences, in the device's own order of elements. */
  async contents(): Promise<Float32Array> {
    const pages: number[] = [];
    for (const sequence of this.lengths.keys()) {
      for (let page = 0; page * PAGE < this.options.capacity; page++) {
        using tensor = new Tensor(this.device, native.kvPage(this.cache.handle, sequence, page));
        const data = await tensor.data();
        pages.push(...(data instanceof Uint16Array ? decode(data, 'bfloat16') : data));
      }
    }
    return Float32Array.from(pages);
  }

  /** Makes rows of qkv in the cache's type. */
  qkv(rows: readonly Float32Array[]): Tensor {
    const width = rowWidth(this.shape);
    const values = new Float32Array(rows.length * width);
    for (const [i, row] of rows.entries()) values.set(row, i * width);
    using qkv = this.device.tensor(values, [rows.length, width]);
    return qkv.cast(this.options.dtype ?? 'float32');
  }

  /** The index tensors of one tree for each sequence. */
  tree(drafts: readonly Draft[]): TreeRows & Disposable {
    const offsets = [0];
    for (const { parents } of drafts) offsets.push(offsets.at(-1)! + parents.length);
    const parents = drafts.flatMap((draft, sequence) =>
      draft.parents.map((parent) => (parent < 0 ? -1 : offsets[sequence]! + parent)),
    );
    const isKnown = this.options.padding?.isKnown ?? true;
    const padded = [...parents, ...wildIndices(this.#padding)];
    const [rowOffsets, lengths, all] = [offsets, this.lengths, padded].map((values) =>
      isKnown ? this.device.tensor(Int32Array.from(values)) : onDeviceOnly(this.device, values),
    ) as [Tensor, Tensor, Tensor];
    return {
      rowOffsets,
      lengths,
      parents: all,
      [Symbol.dispose]() {
        for (const tensor of [rowOffsets, lengths, all]) tensor.dispose();
      },
    };
  }

  [Symbol.dispose](): void {
    this.cache.dispose();
  }
}
