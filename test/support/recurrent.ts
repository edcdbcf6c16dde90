// One recurrent layer as decoding uses it, and its definition in plain arithmetic.
import type { ActivationDType } from '../../lib/native/binding';
import { native } from '../../lib/native/load';
import type { Device } from '../../lib/tensor/device';
import type { TreeRows } from '../../lib/tensor/ops/attention/kv-cache';
import { uploadTrees } from '../../lib/tensor/ops/attention/tree-rows';
import { commitRecurrent } from '../../lib/tensor/ops/recurrent/commit-recurrent';
import { gatedDelta } from '../../lib/tensor/ops/recurrent/gated-delta';
import { shortConvolution } from '../../lib/tensor/ops/recurrent/short-convolution';
import { RecurrentStates } from '../../lib/tensor/recurrent-states';
import { scope } from '../../lib/tensor/scope';
import { Tensor } from '../../lib/tensor/tensor';
import type { Rounding } from './accuracy';
import { onDeviceOnly, take } from './cpu';
import { chain } from './decoding-cache';
import { representable, tensorOf } from './half';
import type { Random } from './random';
import { wildIndices, type Padding } from './trees';

/** Heads of a recurrent layer. */
export interface RecurrentShape {
  keyHeads: number;
  valueHeads: number;
  keyDim: number;
  valueDim: number;
  taps: number;
}

export const channelsOf = ({ keyHeads, valueHeads, keyDim, valueDim }: RecurrentShape): number =>
  2 * keyHeads * keyDim + valueHeads * valueDim;

/** The inputs of one row; bfloat16 can hold all of them. */
export interface RecurrentRow {
  x: Float32Array;
  a: Float32Array;
  b: Float32Array;
}

/** The parameters of a layer. */
export interface RecurrentParameters {
  shape: RecurrentShape;
  /** [channels, taps]; bfloat16 can hold it. */
  weight: Float32Array;
  decay: Float32Array;
  bias: Float32Array;
}

/** A draft tree of one sequence: parents as indices in the tree, −1 for the last committed position. */
export interface RecurrentDraft {
  parents: readonly number[];
  rows: readonly RecurrentRow[];
}

/** Random parameters, with rates of decay as models have them. */
export function recurrentParameters(random: Random, shape: RecurrentShape): RecurrentParameters {
  return {
    shape,
    weight: representable(random.floats(channelsOf(shape) * shape.taps), 'bfloat16'),
    decay: random.floats(shape.valueHeads).map((x) => Math.log(8.1 + 8 * x)),
    bias: random.floats(shape.valueHeads, 4),
  };
}

export function recurrentDraft(
  random: Random,
  shape: RecurrentShape,
  parents: readonly number[],
): RecurrentDraft {
  const floats = (count: number): Float32Array => representable(random.floats(count, 2), 'bfloat16');
  return {
    parents,
    rows: parents.map(() => ({
      x: floats(channelsOf(shape)),
      a: floats(shape.valueHeads),
      b: floats(shape.valueHeads),
    })),
  };
}

/** The nodes of a path as a chain, in the order of plain decoding. */
export function recurrentAlong(draft: RecurrentDraft, path: readonly number[]): RecurrentDraft {
  return { parents: chain(path.length), rows: path.map((node) => draft.rows[node]!) };
}

/** Plain arithmetic: how it rounds each step, and how it rounds the results that it stores. */
export interface Arithmetic {
  round: Rounding;
  store: Rounding;
}

/** The state after a row, and the row's results. */
export interface RecurrentStep {
  /** [valueHeads][keyDim · valueDim]. */
  s: Float64Array[];
  /** The last taps − 1 inputs, the oldest first. */
  inputs: (Float32Array | Float64Array)[];
  convolved: number[];
  out: number[];
}

export function recurrentStart(shape: RecurrentShape): RecurrentStep {
  const { valueHeads, keyDim, valueDim, taps } = shape;
  return {
    s: Array.from({ length: valueHeads }, () => new Float64Array(keyDim * valueDim)),
    inputs: Array.from({ length: taps - 1 }, () => new Float64Array(channelsOf(shape))),
    convolved: [],
    out: [],
  };
}

/** The definition: one row after a state. */
export function recurrentStep(
  before: RecurrentStep,
  row: RecurrentRow,
  { shape, weight, decay, bias }: RecurrentParameters,
  { round, store }: Arithmetic,
): RecurrentStep {
  const { keyHeads, valueHeads, keyDim, valueDim, taps } = shape;
  const inputs = [...before.inputs, row.x];
  const sigmoid = (x: number): number => round(1 / round(1 + round(Math.exp(-x))));
  const convolved = Array.from({ length: channelsOf(shape) }, (_, c) => {
    let sum = 0;
    for (let j = 0; j < taps; j++) sum = round(sum + round(weight[c * taps + j]! * inputs[j]![c]!));
    return store(round(sum * sigmoid(sum)));
  });
  const head = (first: number, dim: number): number[] => convolved.slice(first, first + dim);
  const normalized = (x: number[]): number[] => {
    const squares = x.reduce((sum, each) => round(sum + round(each * each)), 0);
    const scale = round(1 / round(Math.sqrt(round(squares + 1e-6))));
    return x.map((each) => round(each * scale));
  };
  const out: number[] = [];
  const s = before.s.map((matrix, h) => {
    const shared = Math.floor((h * keyHeads) / valueHeads);
    const query = normalized(head(shared * keyDim, keyDim));
    const key = normalized(head((keyHeads + shared) * keyDim, keyDim));
    const value = head(2 * keyHeads * keyDim + h * valueDim, valueDim);
    const softplus = round(Math.log1p(Math.exp(round(row.a[h]! + bias[h]!))));
    const g = round(Math.exp(round(-round(Math.exp(decay[h]!)) * softplus)));
    const beta = sigmoid(row.b[h]!);
    const next = matrix.map((each) => round(g * each));
    for (let v = 0; v < valueDim; v++) {
      let [kept, result] = [0, 0];
      for (let k = 0; k < keyDim; k++) kept = round(kept + round(next[k * valueDim + v]! * key[k]!));
      const delta = round(beta * round(value[v]! - kept));
      for (let k = 0; k < keyDim; k++) {
        const at = k * valueDim + v;
        next[at] = round(next[at]! + round(key[k]! * delta));
        result = round(result + round(next[at] * query[k]!));
      }
      out.push(store(round(result / Math.sqrt(keyDim))));
    }
    return next;
  });
  return { s, inputs: inputs.slice(1), convolved, out };
}

/** The steps of all rows of a draft after a state. */
export function recurrentSteps(
  before: RecurrentStep,
  { parents, rows }: RecurrentDraft,
  parameters: RecurrentParameters,
  arithmetic: Arithmetic,
): RecurrentStep[] {
  const steps: RecurrentStep[] = [];
  for (const [i, row] of rows.entries()) {
    steps.push(recurrentStep(steps[parents[i]!] ?? before, row, parameters, arithmetic));
  }
  return steps;
}

/** Options of {@link RecurrentDecoding}. */
export interface RecurrentDecodingOptions {
  sequences?: number;
  layers?: number;
  dtype?: ActivationDType;
  /** Rows behind those of all trees, which no operation may read, and whether the host knows the trees. Default none. */
  padding?: Padding;
}

/** The results of all rows, one sequence after another; padding comes last. */
export interface RecurrentResults {
  convolved: Float32Array;
  out: Float32Array;
}

/** Recurrent layers with the operations of a decoding loop. Rows of x are multiplied by l + 1 for layer l, so that layers differ. */
export class RecurrentDecoding implements Disposable {
  readonly states: RecurrentStates;
  readonly #layers: number;
  readonly #sequences: number;

  constructor(
    readonly device: Device,
    readonly parameters: RecurrentParameters,
    readonly options: RecurrentDecodingOptions = {},
  ) {
    const { sequences = 1, layers = 1 } = options;
    [this.#layers, this.#sequences] = [layers, sequences];
    this.states = new RecurrentStates(device, { ...parameters.shape, layers, sequences });
    for (let s = 0; s < sequences; s++) this.states.reserve(s);
  }

  /** Computes the results of the last layer for one draft of each sequence. */
  async forward(...drafts: readonly RecurrentDraft[]): Promise<RecurrentResults> {
    const [convolved, out] = scope(() => {
      const { qkv, out } = this.#layer(drafts, this.#layers - 1);
      return [qkv.cast('float32'), out.cast('float32')];
    });
    return { convolved: await take(convolved), out: await take(out) };
  }

  /** Commits one path of each draft, in all layers. */
  accept(drafts: readonly RecurrentDraft[], paths: readonly (readonly number[])[]): void {
    scope(() => {
      for (let layer = 0; layer < this.#layers; layer++) {
        const { inputs, tree } = this.#layer(drafts, layer);
        const stride = Math.max(1, ...paths.map((path) => path.length)) + 1;
        const rows = paths.flatMap((path, s) => {
          const first = drafts.slice(0, s).reduce((sum, { parents }) => sum + parents.length, 0);
          return Array.from({ length: stride }, (_, i) => (i < path.length ? first + path[i]! : -1));
        });
        const path = this.#index(rows, [paths.length, stride]);
        const counts = this.#index(paths.map(({ length }) => length));
        commitRecurrent(this.states, layer, inputs, tree.rowOffsets, path, counts);
      }
    });
  }

  /** Commits whole drafts, which are chains. */
  commit(...drafts: readonly RecurrentDraft[]): void {
    this.accept(
      drafts,
      drafts.map(({ parents }) => [...parents.keys()]),
    );
  }

  /** The states of all sequences, in the device's own order of elements. */
  async contents(): Promise<Float32Array> {
    const blocks: number[] = [];
    for (let s = 0; s < this.#sequences; s++) {
      const block = new Tensor(this.device, native.recurrentBlock(this.states.handle, s));
      for (const value of await take(block)) blocks.push(value);
    }
    return Float32Array.from(blocks);
  }

  #layer(drafts: readonly RecurrentDraft[], layer: number) {
    const { weight, decay, bias, shape } = this.parameters;
    const tree = this.tree(drafts);
    const rows = drafts.flatMap((draft) => draft.rows);
    const scaled = rows.map(({ x }) => x.map((each) => each * (layer + 1)));
    const x = this.#matrix(scaled, channelsOf(shape));
    const taps = this.device.tensor(weight, [channelsOf(shape), shape.taps]);
    const qkv = shortConvolution(this.states, layer, x, taps, tree);
    const inputs = {
      ...{ x, qkv, decay: this.device.tensor(decay), bias: this.device.tensor(bias) },
      a: this.#matrix(
        rows.map(({ a }) => a),
        shape.valueHeads,
      ),
      b: this.#matrix(
        rows.map(({ b }) => b),
        shape.valueHeads,
      ),
    };
    const { x: _, ...delta } = inputs;
    return { inputs, tree, qkv, out: gatedDelta(this.states, layer, delta, tree) };
  }

  /** The index tensors of one tree for each sequence. */
  tree(drafts: readonly RecurrentDraft[]): TreeRows {
    const all = drafts.map(({ parents }) => ({ parents, length: 0 }));
    if (!this.options.padding) return uploadTrees(this.device, all);
    const offsets = [0];
    for (const { parents } of drafts) offsets.push(offsets.at(-1)! + parents.length);
    const parents = drafts.flatMap((draft, s) =>
      draft.parents.map((parent) => (parent < 0 ? -1 : offsets[s]! + parent)),
    );
    return {
      rowOffsets: this.#index(offsets),
      lengths: this.#index(drafts.map(() => 0)),
      parents: this.#index([...parents, ...wildIndices(this.options.padding.rows)]),
    };
  }

  #index(values: readonly number[], shape: readonly number[] = [values.length]): Tensor {
    return this.options.padding?.isKnown === false
      ? onDeviceOnly(this.device, values, [...shape])
      : this.device.tensor(Int32Array.from(values), shape);
  }

  #matrix(rows: readonly Float32Array[], width: number): Tensor {
    const count = rows.length + (this.options.padding?.rows ?? 0);
    const values = new Float32Array(count * width).fill(NaN);
    for (const [i, row] of rows.entries()) values.set(row, i * width);
    return this.#tensor(values, [count, width]);
  }

  #tensor(values: Float32Array, shape: readonly number[]): Tensor {
    return tensorOf(this.device, values, shape, this.options.dtype ?? 'float32');
  }

  [Symbol.dispose](): void {
    this.states.dispose();
  }
}
