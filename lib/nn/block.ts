import { check, instance } from '../check';
import { scope } from '../tensor/scope';
import { add } from '../tensor/ops/layers/elementwise';
import type { Tensor } from '../tensor/tensor';
import { Attention } from './attention';
import type { BlockConfig } from './block-config';
import { Mlp } from './mlp';
import { checkBlockConfig, checkPlace } from './checks';
import { ParameterStore } from './parameters';
import { RMSNorm } from './rms-norm';
import { RopeTable } from './rope-table';
import type { Rows } from './rows';

/** One transformer layer of the Llama family: x + attention(norm x), then x + mlp(norm x). */
export class Block {
  /** The first half, self-attention. */
  readonly attention: Attention;
  /** The second half, which reads each row alone. */
  readonly mlp: Mlp;
  readonly #inputNorm: RMSNorm;
  readonly #postAttentionNorm: RMSNorm;

  /** @param prefix prefix of the names of the tensors, with its dot */
  constructor(store: ParameterStore, prefix: string, config: BlockConfig, table: RopeTable) {
    checkPlace('Block', store, ParameterStore, prefix);
    checkBlockConfig('Block', config);
    check('Block: table', table, instance(RopeTable));
    this.#inputNorm = new RMSNorm(store, `${prefix}input_layernorm`, config.hiddenSize, config.rmsNormEps);
    this.attention = new Attention(store, `${prefix}self_attn.`, config, table);
    this.#postAttentionNorm = new RMSNorm(
      store,
      `${prefix}post_attention_layernorm`,
      config.hiddenSize,
      config.rmsNormEps,
    );
    this.mlp = new Mlp(store, `${prefix}mlp.`, config);
  }

  /**
   * x [rows, hiddenSize] → the same shape.
   * @param layer which layer of the KV cache has the keys and values; packed rows have no cache. A block that runs several times
   * in one forward pass has a layer for each
   */
  forward(x: Tensor, rows: Rows, layer: number): Tensor {
    return scope(() => {
      const attended = this.attention.forward(this.#inputNorm.forward(x), rows, layer);
      const { sum, out } = this.#postAttentionNorm.forwardSum(x, attended);
      return add(sum, this.mlp.forward(out));
    });
  }
}
