import { check, instance } from '../check';
import { scope } from '../tensor/scope';
import { add, scale } from '../tensor/ops/layers/elementwise';
import type { Tensor } from '../tensor/tensor';
import { Attention } from './attention';
import type { BlockConfig, BlockNorms } from './block-config';
import { GatedDeltaNet } from './gated-delta-net';
import { Mlp } from './mlp';
import { checkBlockConfig, checkPlace } from './checks';
import { ParameterStore } from './parameters';
import { RMSNorm } from './rms-norm';
import { RopeTable } from './rope-table';
import type { Rows } from './rows';

/**
 * One transformer layer: x + attention(norm x), then x + mlp(norm x); a gated delta net may take the place of attention. Where the norms lie, before a half, after it or both, is data
 * (`BlockConfig.norms`).
 */
export class Block {
  /** The first half, which reads earlier positions. */
  readonly mixer: Attention | GatedDeltaNet;
  /** The second half, which reads each row alone. */
  readonly mlp: Mlp;
  readonly #norms: Readonly<Record<keyof BlockNorms, RMSNorm | null>>;
  readonly #residualScale: number;

  /**
   * @param prefix prefix of the names of the tensors, with its dot
   * @param table rotary positions; null for a layer that does not rotate
   */
  constructor(store: ParameterStore, prefix: string, config: BlockConfig, table: RopeTable | null) {
    checkPlace('Block', store, ParameterStore, prefix);
    const { norms, hiddenSize, rmsNormEps, residualScale, recurrent } = checkBlockConfig('Block', config);
    const norm = (name: string | null): RMSNorm | null =>
      name === null ? null : new RMSNorm(store, prefix + name, hiddenSize, rmsNormEps);
    if (table !== null) check('Block: table', table, instance(RopeTable));
    this.#residualScale = residualScale;
    const beforeAttention = norm(norms.beforeAttention);
    this.mixer = recurrent
      ? new GatedDeltaNet(store, `${prefix}linear_attn.`, config, recurrent)
      : new Attention(store, `${prefix}self_attn.`, config, table);
    const afterAttention = norm(norms.afterAttention);
    const beforeMlp = norm(norms.beforeMlp);
    this.mlp = new Mlp(store, `${prefix}mlp.`, config);
    this.#norms = { beforeAttention, afterAttention, beforeMlp, afterMlp: norm(norms.afterMlp) };
  }

  /**
   * x [rows, hiddenSize] → the same shape.
   * @param layer its number among the cache's layers of its kind; packed rows have no cache. A block that runs several times in one
   * forward pass has a layer for each
   */
  forward(x: Tensor, rows: Rows, layer: number): Tensor {
    return scope(() => {
      const { beforeAttention, afterAttention, beforeMlp, afterMlp } = this.#norms;
      const read = beforeAttention ? beforeAttention.forward(x) : x;
      const attended = this.#addend(this.mixer.forward(read, rows, layer), afterAttention);
      // One launch for the sum and its norm.
      const { sum, out } = beforeMlp ? beforeMlp.forwardSum(x, attended) : twice(add(x, attended));
      return add(sum, this.#addend(this.mlp.forward(out), afterMlp));
    });
  }

  /** Prepares the output of a half for the residual stream. */
  #addend(output: Tensor, norm: RMSNorm | null): Tensor {
    const normed = norm ? norm.forward(output) : output;
    return this.#residualScale === 1 ? normed : scale(normed, this.#residualScale);
  }
}

function twice(sum: Tensor): { sum: Tensor; out: Tensor } {
  return { sum, out: sum };
}
