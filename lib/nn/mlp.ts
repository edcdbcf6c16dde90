import { swiglu } from '../tensor/ops/layers/elementwise';
import type { Tensor } from '../tensor/tensor';
import { Linear } from './linear';
import type { BlockConfig } from './block-config';
import { checkBlockConfig, checkPlace } from './checks';
import { ParameterStore } from './parameters';

/** Computes down(silu(gate x) · up x), the feed-forward half of a Llama layer (Shazeer 2020, SwiGLU). */
export class Mlp {
  /** Gate and up projection, side by side: hiddenSize → 2 · intermediateSize. */
  readonly gateUp: Linear;
  /** Down projection: intermediateSize → hiddenSize. */
  readonly down: Linear;

  constructor(store: ParameterStore, prefix: string, config: BlockConfig) {
    checkPlace('Mlp', store, ParameterStore, prefix);
    const { hiddenSize, intermediateSize, initStd, residualStd } = checkBlockConfig('Mlp', config);
    this.gateUp = new Linear(
      store,
      prefix,
      [
        { name: 'gate_proj', rows: intermediateSize },
        { name: 'up_proj', rows: intermediateSize },
      ],
      hiddenSize,
      { std: initStd },
    );
    this.down = new Linear(store, prefix, [{ name: 'down_proj', rows: hiddenSize }], intermediateSize, {
      std: residualStd,
    });
  }

  /** x [..., hiddenSize] → the same shape. */
  forward(x: Tensor): Tensor {
    return this.down.forward(swiglu(this.gateUp.forward(x)));
  }
}
