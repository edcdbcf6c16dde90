import { check, instance } from '../check';
import { attention, treeAttention, type AttentionShape } from '../tensor/ops/attention/attention';
import { concat } from '../tensor/ops/layers/elementwise';
import { kvAppend } from '../tensor/ops/attention/kv-cache';
import { reshape, sliceColumns } from '../tensor/ops/layers/reshape';
import { rope } from '../tensor/ops/layers/rope';
import type { Tensor } from '../tensor/tensor';
import type { BlockConfig } from './block-config';
import { Linear } from './linear';
import { checkBlockConfig, checkPlace } from './checks';
import { ParameterStore } from './parameters';
import { RMSNorm } from './rms-norm';
import { RopeTable } from './rope-table';
import type { Rows } from './rows';

/** Causal self-attention with grouped key/value heads and rotary positions (Llama; Qwen's biases and q/k norms). */
export class Attention {
  /** Projections of all query, key and value heads, side by side: hiddenSize → (heads + 2 · kvHeads) · headDim. */
  readonly qkv: Linear;
  /** Output projection: heads · headDim → hiddenSize. */
  readonly out: Linear;
  readonly #norms: { q: RMSNorm; k: RMSNorm } | null;
  readonly #shape: AttentionShape;

  constructor(
    store: ParameterStore,
    prefix: string,
    config: BlockConfig,
    private readonly table: RopeTable,
  ) {
    checkPlace('Attention', store, ParameterStore, prefix);
    check('Attention: table', table, instance(RopeTable));
    const { hiddenSize, heads, kvHeads, headDim, initStd, residualStd } = checkBlockConfig(
      'Attention',
      config,
    );
    this.#shape = { heads, kvHeads, headDim, scale: 1 / Math.sqrt(headDim) };
    this.qkv = new Linear(
      store,
      prefix,
      [
        { name: 'q_proj', rows: heads * headDim },
        { name: 'k_proj', rows: kvHeads * headDim },
        { name: 'v_proj', rows: kvHeads * headDim },
      ],
      hiddenSize,
      { std: initStd },
      config.qkvBias,
    );
    const outInit = { std: residualStd };
    this.out = new Linear(
      store,
      prefix,
      [{ name: 'o_proj', rows: hiddenSize }],
      heads * headDim,
      outInit,
      config.outBias,
    );
    this.#norms = config.qkNorm
      ? {
          q: new RMSNorm(store, `${prefix}q_norm`, headDim, config.rmsNormEps),
          k: new RMSNorm(store, `${prefix}k_norm`, headDim, config.rmsNormEps),
        }
      : null;
  }

  /**
   * x [rows, hiddenSize] → the same shape.
   * @param layer which layer of the KV cache has the keys and values; packed rows have no cache
   */
  forward(x: Tensor, rows: Rows, layer: number): Tensor {
    const { heads, kvHeads } = this.#shape;
    const projected = this.#normalized(this.qkv.forward(x));
    const rotated = rope(projected, rows.positions, this.table.tensor, {
      heads: heads + 2 * kvHeads,
      rotatedHeads: heads + kvHeads,
    });
    if (rows.kind === 'packed') {
      return this.out.forward(attention(rotated, rows.starts, rows.batch, this.#shape));
    }
    const { cache, tree } = rows;
    kvAppend(cache, layer, rotated, tree, heads);
    return this.out.forward(treeAttention(cache, layer, rotated, tree, this.#shape));
  }

  #normalized(qkv: Tensor): Tensor {
    if (!this.#norms) return qkv;
    const { heads, kvHeads, headDim } = this.#shape;
    const count = qkv.shape[0]!;
    const part = (start: number, width: number, norm?: RMSNorm): Tensor => {
      const columns = sliceColumns(qkv, start * headDim, width * headDim);
      if (!norm) return columns;
      return reshape(norm.forward(reshape(columns, [count * width, headDim])), [count, width * headDim]);
    };
    const q = part(0, heads, this.#norms.q);
    const k = part(heads, kvHeads, this.#norms.k);
    return concat(concat(q, k), part(heads + kvHeads, kvHeads));
  }
}
