import { check, instance } from '../check';
import { attention, treeAttention, type AttentionShape } from '../tensor/ops/attention/attention';
import { concat, sigmoidGate } from '../tensor/ops/layers/elementwise';
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

/** Causal self-attention with grouped key/value heads, rotary positions and, if the layer has them, biases, q/k norms and a window. */
export class Attention {
  /**
   * Projections of all query, key and value heads, side by side, and of the gate, if there is one: hiddenSize →
   * (heads + 2 · kvHeads) · headDim (+ heads · headDim).
   */
  readonly qkv: Linear;
  /** Output projection: heads · headDim → hiddenSize. */
  readonly out: Linear;
  readonly #norms: { q: RMSNorm; k: RMSNorm } | null;
  /** Whether a norm is over each head alone. */
  readonly #normsHeads: boolean;
  readonly #shape: AttentionShape;
  readonly #hasGate: boolean;

  constructor(
    store: ParameterStore,
    prefix: string,
    config: BlockConfig,
    /** Rotary positions; null for a layer that does not rotate. */
    private readonly table: RopeTable | null,
  ) {
    checkPlace('Attention', store, ParameterStore, prefix);
    if (table !== null) check('Attention: table', table, instance(RopeTable));
    const { hiddenSize, heads, kvHeads, headDim, qkNorm, outputGate, ...checked } = checkBlockConfig(
      'Attention',
      config,
    );
    this.#hasGate = outputGate;
    this.#shape = {
      ...{ heads, kvHeads, headDim, scale: checked.scoreScale },
      ...(checked.window !== null && { window: checked.window }),
    };
    const parts = [
      { name: 'q_proj', rows: heads * headDim },
      { name: 'k_proj', rows: kvHeads * headDim },
      { name: 'v_proj', rows: kvHeads * headDim },
      ...(outputGate ? [{ name: 'q_gate', rows: heads * headDim }] : []),
    ];
    const all = { name: 'qkv_proj', rows: (heads + 2 * kvHeads) * headDim };
    const std = checked.initStd;
    this.qkv = new Linear(store, prefix, checked.fused ? [all] : parts, hiddenSize, { std }, checked.qkvBias);
    const out = { name: 'o_proj', rows: hiddenSize };
    const outInit = { std: checked.residualStd };
    this.out = new Linear(store, prefix, [out], heads * headDim, outInit, checked.outBias);
    this.#normsHeads = qkNorm === 'head';
    const norm = (name: string, count: number): RMSNorm =>
      new RMSNorm(store, prefix + name, (this.#normsHeads ? 1 : count) * headDim, checked.rmsNormEps);
    this.#norms = qkNorm ? { q: norm('q_norm', heads), k: norm('k_norm', kvHeads) } : null;
  }

  /**
   * x [rows, hiddenSize] → the same shape.
   * @param layer which layer of the KV cache has the keys and values; packed rows have no cache
   */
  forward(x: Tensor, rows: Rows, layer: number): Tensor {
    const { heads, kvHeads, headDim } = this.#shape;
    const projected = this.qkv.forward(x);
    const width = (heads + 2 * kvHeads) * headDim;
    const qkv = this.#hasGate ? sliceColumns(projected, 0, width) : projected;
    const attended = this.#attend(this.#rotated(this.#normalized(qkv), rows.positions), rows, layer);
    const gate = this.#hasGate ? sliceColumns(projected, width, heads * headDim) : null;
    return this.out.forward(gate ? sigmoidGate(attended, gate) : attended);
  }

  #attend(qkv: Tensor, rows: Rows, layer: number): Tensor {
    if (rows.kind === 'packed') return attention(qkv, rows.starts, rows.batch, this.#shape);
    const { cache, tree } = rows;
    kvAppend(cache.kv, layer, qkv, tree, this.#shape.heads);
    return treeAttention(cache.kv, layer, qkv, tree, this.#shape);
  }

  #rotated(qkv: Tensor, positions: Tensor): Tensor {
    if (!this.table) return qkv;
    const { heads, kvHeads } = this.#shape;
    return rope(qkv, positions, this.table.tensor, {
      heads: heads + 2 * kvHeads,
      rotatedHeads: heads + kvHeads,
    });
  }

  #normalized(qkv: Tensor): Tensor {
    if (!this.#norms) return qkv;
    const { heads, kvHeads, headDim } = this.#shape;
    const count = qkv.shape[0]!;
    const part = (start: number, width: number, norm?: RMSNorm): Tensor => {
      const columns = sliceColumns(qkv, start * headDim, width * headDim);
      if (!norm || !this.#normsHeads) return norm ? norm.forward(columns) : columns;
      return reshape(norm.forward(reshape(columns, [count * width, headDim])), [count, width * headDim]);
    };
    const q = part(0, heads, this.#norms.q);
    const k = part(heads, kvHeads, this.#norms.k);
    return concat(concat(q, k), part(heads + kvHeads, kvHeads));
  }
}
