import { glu, type GluActivation } from '../tensor/ops/layers/glu';
import type { Tensor } from '../tensor/tensor';
import { Linear } from './linear';
import type { BlockConfig } from './block-config';
import { checkBlockConfig, checkPlace } from './checks';
import { ParameterStore } from './parameters';

/** Computes down(activation(gate x) · up x), the feed-forward half of a layer (Shazeer 2020, SwiGLU and GeGLU). */
export class Mlp {
  /** Gate and up projection, side by side: hiddenSize → 2 · intermediateSize. */
  readonly gateUp: Linear;
  /** Down projection: intermediateSize → hiddenSize. */
  readonly down: Linear;
  readonly #activation: GluActivation;

  constructor(store: ParameterStore, prefix: string, config: BlockConfig) {
    checkPlace('Mlp', store, ParameterStore, prefix);
    const { hiddenSize, intermediateSize, initStd, residualStd, activation, fused } = checkBlockConfig(
      'Mlp',
      config,
    );
    this.#activation = activation;
    const parts = [
      { name: 'gate_proj', rows: intermediateSize },
      { name: 'up_proj', rows: intermediateSize },
    ];
    const both = { name: 'gate_up_proj', rows: 2 * intermediateSize };
    this.gateUp = new Linear(store, prefix, fused ? [both] : parts, hiddenSize, { std: initStd });
    this.down = new Linear(store, prefix, [{ name: 'down_proj', rows: hiddenSize }], intermediateSize, {
      std: residualStd,
    });
  }

  /** x [..., hiddenSize] → the same shape. */
  forward(x: Tensor): Tensor {
    return this.down.forward(glu(this.gateUp.forward(x), this.#activation));
  }
}
