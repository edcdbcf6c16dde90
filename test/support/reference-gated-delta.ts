// Gated delta nets in float64, in plain loops, written from the reference implementation of Qwen3.5 in transformers and not from this
// library.
import { product, rmsNorm, type CheckpointTensor } from './reference-model';

type Rows = Float64Array[];

/** Sizes of a layer, and its tensors by their names below `linear_attn.`. */
export interface GatedDeltaLayer {
  keyHeads: number;
  valueHeads: number;
  keyDim: number;
  valueDim: number;
  eps: number;
  readonly tensor: (name: string) => CheckpointTensor;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
export const silu = (x: number): number => x * sigmoid(x);
const softplus = (x: number): number => (x > 20 ? x : Math.log1p(Math.exp(x)));

function unit(x: Float64Array): Float64Array {
  const squares = x.reduce((sum, value) => sum + value * value, 0);
  return x.map((value) => value / Math.sqrt(squares + 1e-6));
}

/** Sums the last inputs of each channel, weighted, and applies SiLU. Before the text inputs are zero. */
export function convolution(x: Rows, { shape, values }: CheckpointTensor): Rows {
  const taps = shape.at(-1)!;
  return x.map((row, t) =>
    row.map((_, c) => {
      let sum = 0;
      for (let j = 0; j < taps; j++) sum += values[c * taps + j]! * (x[t - taps + 1 + j]?.[c] ?? 0);
      return silu(sum);
    }),
  );
}

/** Runs the layer on all rows of a text. */
export function gatedDeltaNet(x: Rows, layer: GatedDeltaLayer): Rows {
  const { keyHeads, valueHeads, keyDim, valueDim, eps, tensor } = layer;
  const projected = (name: string): Rows => x.map((row) => product(row, tensor(`${name}.weight`)));
  const qkv = convolution(projected('in_proj_qkv'), tensor('conv1d.weight'));
  const [z, a, b] = [projected('in_proj_z'), projected('in_proj_a'), projected('in_proj_b')];
  const [decay, bias, weight] = [
    tensor('A_log').values,
    tensor('dt_bias').values,
    tensor('norm.weight').values,
  ];
  const states = Array.from({ length: valueHeads }, () => new Float64Array(keyDim * valueDim));
  return qkv.map((row, t) => {
    const out = new Float64Array(valueHeads * valueDim);
    states.forEach((state, h) => {
      const shared = Math.floor((h * keyHeads) / valueHeads);
      const part = (start: number, i: number, dim: number): Float64Array =>
        row.slice(start + i * dim, start + (i + 1) * dim);
      const q = unit(part(0, shared, keyDim)).map((value) => value / Math.sqrt(keyDim));
      const k = unit(part(keyHeads * keyDim, shared, keyDim));
      const v = part(2 * keyHeads * keyDim, h, valueDim);
      const kept = Math.exp(-Math.exp(decay[h]!) * softplus(a[t]![h]! + bias[h]!));
      const strength = sigmoid(b[t]![h]!);
      const read = new Float64Array(valueDim);
      for (let j = 0; j < valueDim; j++) {
        let known = 0;
        for (let i = 0; i < keyDim; i++) known += (state[i * valueDim + j]! *= kept) * k[i]!;
        const delta = strength * (v[j]! - known);
        for (let i = 0; i < keyDim; i++) read[j]! += (state[i * valueDim + j]! += k[i]! * delta) * q[i]!;
      }
      const gate = z[t]!.slice(h * valueDim, (h + 1) * valueDim);
      rmsNorm(read, weight, eps).forEach((value, j) => (out[h * valueDim + j] = value * silu(gate[j]!)));
    });
    return product(out, tensor('out_proj.weight'));
  });
}
