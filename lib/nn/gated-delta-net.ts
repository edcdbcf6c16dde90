import { ForetokenError } from '../errors';
import { reshape, sliceColumns } from '../tensor/ops/layers/reshape';
import { gatedRmsNorm } from '../tensor/ops/layers/rms-norm';
import { gatedDelta, type DeltaInputs } from '../tensor/ops/recurrent/gated-delta';
import { shortConvolution } from '../tensor/ops/recurrent/short-convolution';
import type { Tensor } from '../tensor/tensor';
import type { BlockConfig, GatedDeltaConfig } from './block-config';
import { checkPlace } from './checks';
import { Linear } from './linear';
import { ParameterStore, type Parameter } from './parameters';
import { RMSNorm } from './rms-norm';
import type { Rows } from './rows';

/**
 * A recurrent layer in place of attention: a short convolution over queries, keys and values, then the gated delta rule, which keeps a
 * matrix for each head instead of the keys and values of all positions; Yang et al. 2024, "Gated Delta Networks: Improving Mamba2
 * with Delta Rule". Parameters are as in Qwen3.5. For decoding alone.
 */
export class GatedDeltaNet {
  /** Projections side by side: queries, keys and values, the gate z, and b and a, which become the strength of updates and the decay. */
  readonly in: Linear;
  /** Output projection: valueHeads · valueDim → hiddenSize. */
  readonly out: Linear;
  readonly #convolution: Parameter;
  readonly #decay: Parameter;
  readonly #bias: Parameter;
  readonly #norm: RMSNorm;
  readonly #sizes: GatedDeltaConfig & { channels: number; width: number };

  constructor(store: ParameterStore, prefix: string, config: BlockConfig, sizes: GatedDeltaConfig) {
    checkPlace('GatedDeltaNet', store, ParameterStore, prefix);
    const { keyHeads, valueHeads, keyDim, valueDim, taps } = sizes;
    const width = valueHeads * valueDim;
    const channels = 2 * keyHeads * keyDim + width;
    this.#sizes = { ...sizes, channels, width };
    const parts = [
      { name: 'in_proj_qkv', rows: channels },
      { name: 'in_proj_z', rows: width },
      { name: 'in_proj_b', rows: valueHeads },
      { name: 'in_proj_a', rows: valueHeads },
    ];
    const std = config.initStd;
    this.in = new Linear(store, prefix, parts, config.hiddenSize, { std });
    const convolution = { name: `${prefix}conv1d.weight`, shape: [channels, 1, taps] };
    this.#convolution = store.create([convolution], { std: 1 / Math.sqrt(taps) }, false);
    this.#decay = store.create([{ name: `${prefix}A_log`, shape: [valueHeads] }], { value: 0 });
    this.#bias = store.create([{ name: `${prefix}dt_bias`, shape: [valueHeads] }], { value: 1 });
    this.#norm = new RMSNorm(store, `${prefix}norm`, valueDim, config.rmsNormEps);
    const out = { name: 'out_proj', rows: config.hiddenSize };
    this.out = new Linear(store, prefix, [out], width, { std: config.residualStd });
  }

  /**
   * x [rows, hiddenSize] → the same shape.
   * @param layer which recurrent layer of the cache has the state
   * @throws ForetokenError UNSUPPORTED for packed rows
   */
  forward(x: Tensor, rows: Rows, layer: number): Tensor {
    if (rows.kind === 'packed') {
      throw new ForetokenError(
        'UNSUPPORTED',
        'GatedDeltaNet: recurrent layers decode only; they cannot be trained',
      );
    }
    const { channels, width, valueHeads, taps } = this.#sizes;
    const projected = this.in.forward(x);
    const mixed = sliceColumns(projected, 0, channels);
    const z = sliceColumns(projected, channels, width);
    const b = sliceColumns(projected, channels + width, valueHeads);
    const a = sliceColumns(projected, channels + width + valueHeads, valueHeads);
    const { cache, tree } = rows;
    const { states } = cache.recurrent!;
    const weight = reshape(this.#convolution.value, [channels, taps]);
    const qkv = shortConvolution(states, layer, mixed, weight, tree);
    const inputs: DeltaInputs = { qkv, a, b, decay: this.#decay.value, bias: this.#bias.value };
    const read = gatedDelta(states, layer, inputs, tree);
    cache.recurrent!.hold(layer, { x: mixed, ...inputs });
    return this.out.forward(gatedRmsNorm(read, z, this.#norm.weight.value, this.#norm.eps));
  }
}
