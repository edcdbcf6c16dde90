// A forward pass in float64, in plain loops, written from the reference implementations of transformers and not from this library:
// it reads config.json and the tensors of a checkpoint as they are.

import { gatedDeltaNet } from './reference-gated-delta';

/** Values of a tensor in a checkpoint. */
export interface CheckpointTensor {
  shape: readonly number[];
  values: Float64Array;
}

export type Checkpoint = ReadonlyMap<string, CheckpointTensor>;
type Json = Readonly<Record<string, unknown>>;
type Rows = Float64Array[];

/** Normalizes a row; the factor of each element is w, or 1 + w. */
export function rmsNorm(x: Float64Array, w: Float64Array, eps: number, plus = 0): Float64Array {
  const mean = x.reduce((sum, value) => sum + value * value, 0) / x.length;
  return x.map((value, i) => (value / Math.sqrt(mean + eps)) * (w[i]! + plus));
}

/** Multiplies a row with the transpose of a matrix [outputs, inputs]. */
export function product(
  x: Float64Array,
  { shape, values }: CheckpointTensor,
  bias?: CheckpointTensor,
): Float64Array {
  const [outputs, inputs] = shape as [number, number];
  return Float64Array.from({ length: outputs }, (_, o) => {
    let sum = bias?.values[o] ?? 0;
    for (let i = 0; i < inputs; i++) sum += values[o * inputs + i]! * x[i]!;
    return sum;
  });
}

const plus = (a: Float64Array, b: Float64Array, factor = 1): Float64Array =>
  a.map((value, i) => value + factor * b[i]!);

/** Inverse frequencies of rotary angles, and the factor of cosines and sines. */
export function frequencies(
  rope: Json,
  dim: number,
  theta: number,
  maxPositions: number,
): [number[], number] {
  const plain = Array.from({ length: dim / 2 }, (_, i) => 1 / theta ** ((2 * i) / dim));
  const type = (rope.rope_type ?? rope.type ?? 'default') as string;
  const number = (name: string, otherwise?: number): number => (rope[name] ?? otherwise) as number;
  const factor = number('factor');
  if (type === 'linear') return [plain.map((f) => f / factor), 1];
  if (type === 'llama3') {
    const original = number('original_max_position_embeddings');
    const [low, high] = [number('low_freq_factor'), number('high_freq_factor')];
    const scaled = plain.map((f) => {
      const wavelength = (2 * Math.PI) / f;
      if (wavelength < original / high) return f;
      if (wavelength > original / low) return f / factor;
      const smooth = (original / wavelength - low) / (high - low);
      return ((1 - smooth) * f) / factor + smooth * f;
    });
    return [scaled, 1];
  }
  if (type === 'yarn') {
    const original = number('original_max_position_embeddings', maxPositions);
    const place = (rotations: number): number =>
      (dim * Math.log(original / (rotations * 2 * Math.PI))) / (2 * Math.log(theta));
    let low = place(number('beta_fast', 32));
    let high = place(number('beta_slow', 1));
    if (rope.truncate !== false) [low, high] = [Math.floor(low), Math.ceil(high)];
    low = Math.max(low, 0);
    high = Math.min(high, dim - 1);
    if (low === high) high += 0.001;
    const mscale = (weight: number): number => (factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1);
    const both = rope.mscale && rope.mscale_all_dim;
    const usual = both ? mscale(number('mscale')) / mscale(number('mscale_all_dim')) : mscale(1);
    const blended = plain.map((f, i) => {
      const ramp = Math.min(1, Math.max(0, (i - low) / (high - low)));
      return (f / factor) * ramp + f * (1 - ramp);
    });
    return [blended, number('attention_factor', usual)];
  }
  return [plain, 1];
}

/** Rotates the first 2 · frequencies numbers of a head. */
function rotate(head: Float64Array, position: number, [all, scale]: [number[], number]): Float64Array {
  const out = head.slice();
  all.forEach((frequency, i) => {
    const j = i + all.length;
    const [cos, sin] = [Math.cos(position * frequency) * scale, Math.sin(position * frequency) * scale];
    out[i] = head[i]! * cos - head[j]! * sin;
    out[j] = head[j]! * cos + head[i]! * sin;
  });
  return out;
}

/** The settings of a layer that families decide on. */
interface Layer {
  isRecurrent?: boolean;
  angles: [number[], number] | null;
  window: number;
}

/** A model in float64. */
export class ReferenceModel {
  readonly #type: string;
  readonly #heads: number;
  readonly #kvHeads: number;
  readonly #headDim: number;
  readonly #eps: number;
  /** 1 in families whose norms multiply by 1 + w. */
  readonly #plus: number;

  constructor(
    private readonly json: Json,
    private readonly tensors: Checkpoint,
  ) {
    this.#type = json.model_type as string;
    this.#heads = this.#number('num_attention_heads');
    this.#kvHeads = this.#number('num_key_value_heads', this.#heads);
    this.#headDim = this.#number('head_dim', this.#number('hidden_size') / this.#heads);
    this.#eps = this.#number('rms_norm_eps');
    this.#plus = ['gemma3_text', 'qwen3_5_text'].includes(this.#type) ? 1 : 0;
  }

  #number(name: string, otherwise?: number): number {
    const value = this.json[name] ?? otherwise;
    if (typeof value !== 'number') throw new Error(`${name} is missing`);
    return value;
  }

  tensor(name: string): CheckpointTensor {
    const found = this.tensors.get(name);
    if (!found) throw new Error(`there is no tensor ${name}`);
    return found;
  }

  /** Normalizes rows with a tensor of the checkpoint. */
  norm(rows: Rows, name: string): Rows {
    const { values } = this.tensor(`${name}.weight`);
    return rows.map((row) => rmsNorm(row, values, this.#eps, this.#plus));
  }

  embed(tokens: readonly number[]): Rows {
    const { values, shape } = this.tensor('model.embed_tokens.weight');
    const dim = shape[1]!;
    const scale = this.#type === 'gemma3_text' ? Math.sqrt(dim) : this.#number('embedding_multiplier', 1);
    return tokens.map((token) => values.slice(token * dim, (token + 1) * dim).map((x) => x * scale));
  }

  /** Runs the trunk: the outputs of all layers before the last, and the final, normed states. */
  states(tokens: readonly number[]): { layers: Rows[]; hidden: Rows } {
    const layers: Rows[] = [];
    let x = this.embed(tokens);
    for (let layer = 0; layer < this.#number('num_hidden_layers'); layer++) {
      x = this.block(x, `model.layers.${layer}.`, this.#layer(layer));
      layers.push(x);
    }
    return { layers, hidden: this.norm(x, 'model.norm') };
  }

  /** Unembeds states. */
  logits(hidden: Rows): Rows {
    const tied = this.json.tie_word_embeddings ?? this.#type === 'gemma3_text';
    const head = this.tensor(tied ? 'model.embed_tokens.weight' : 'lm_head.weight');
    return hidden.map((row) => product(row, head).map((x) => x / this.#number('logits_scaling', 1)));
  }

  #layer(layer: number): Layer {
    const { json } = this;
    const types = json.layer_types as string[] | undefined;
    const window = (json.sliding_window ?? null) as number | null;
    let hasWindow = types?.[layer] === 'sliding_attention';
    if (!types) {
      const pattern = this.#number('sliding_window_pattern', 6);
      const rule: Record<string, boolean> = {
        mistral: true,
        phi3: true,
        qwen2: json.use_sliding_window === true && layer >= this.#number('max_window_layers', 0),
        qwen3: json.use_sliding_window === true && layer >= this.#number('max_window_layers', 0),
        gemma3_text: (layer + 1) % pattern !== 0,
      };
      hasWindow = rule[this.#type] ?? false;
    }
    const rotates = (json.no_rope_layers as number[] | undefined)?.[layer] !== 0;
    return {
      isRecurrent: types?.[layer] === 'linear_attention',
      window: hasWindow && window !== null ? window : Infinity,
      angles: rotates ? this.angles(hasWindow) : null,
    };
  }

  /** The angles of layers with or without a window. */
  angles(hasWindow = false): [number[], number] {
    const { json } = this;
    const parameters = (json.rope_parameters ?? {}) as Record<string, Json>;
    const nested = parameters[hasWindow ? 'sliding_attention' : 'full_attention'];
    const isLocal = hasWindow && this.#type === 'gemma3_text' && !nested;
    const rope =
      nested ?? (isLocal ? {} : { ...(json.rope_scaling as Json | undefined), ...json.rope_parameters! });
    const theta = isLocal
      ? this.#number('rope_local_base_freq', 10000)
      : ((rope.rope_theta ?? json.rope_theta ?? 10000) as number);
    const part = (rope.partial_rotary_factor ?? json.partial_rotary_factor ?? 1) as number;
    return frequencies(
      rope,
      Math.floor(this.#headDim * part),
      theta,
      this.#number('max_position_embeddings'),
    );
  }

  /** Runs one layer on the rows of one text, the first of which has this position. */
  block(x: Rows, prefix: string, layer: Layer, first = 0): Rows {
    const type = this.#type;
    const factor = this.#number('residual_multiplier', 1);
    const mlpOf = (rows: Rows): Rows => rows.map((row) => this.#mlp(row, `${prefix}mlp.`));
    const attend = (rows: Rows): Rows =>
      layer.isRecurrent
        ? this.#recurrent(rows, `${prefix}linear_attn.`)
        : this.#attention(rows, `${prefix}self_attn.`, layer, first);
    const sum = (a: Rows, b: Rows): Rows => a.map((row, i) => plus(row, b[i]!, factor));
    const norm = (rows: Rows, name: string): Rows => this.norm(rows, prefix + name);
    if (type === 'olmo2') {
      const middle = sum(x, norm(attend(x), 'post_attention_layernorm'));
      return sum(middle, norm(mlpOf(middle), 'post_feedforward_layernorm'));
    }
    if (type === 'gemma3_text') {
      const middle = sum(x, norm(attend(norm(x, 'input_layernorm')), 'post_attention_layernorm'));
      const fed = mlpOf(norm(middle, 'pre_feedforward_layernorm'));
      return sum(middle, norm(fed, 'post_feedforward_layernorm'));
    }
    const middle = sum(x, attend(norm(x, 'input_layernorm')));
    return sum(middle, mlpOf(norm(middle, 'post_attention_layernorm')));
  }

  #mlp(x: Float64Array, prefix: string): Float64Array {
    const [gate, up] =
      this.#type === 'phi3'
        ? halves(product(x, this.tensor(`${prefix}gate_up_proj.weight`)))
        : [
            product(x, this.tensor(`${prefix}gate_proj.weight`)),
            product(x, this.tensor(`${prefix}up_proj.weight`)),
          ];
    const silu = (g: number): number => g / (1 + Math.exp(-g));
    const gelu = (g: number): number =>
      0.5 * g * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (g + 0.044715 * g ** 3)));
    const act = this.#type === 'gemma3_text' ? gelu : silu;
    return product(
      gate.map((g, i) => act(g) * up[i]!),
      this.tensor(`${prefix}down_proj.weight`),
    );
  }

  #recurrent(x: Rows, prefix: string): Rows {
    return gatedDeltaNet(x, {
      keyHeads: this.#number('linear_num_key_heads'),
      valueHeads: this.#number('linear_num_value_heads'),
      keyDim: this.#number('linear_key_head_dim'),
      valueDim: this.#number('linear_value_head_dim'),
      eps: this.#eps,
      tensor: (name) => this.tensor(prefix + name),
    });
  }

  #attention(x: Rows, prefix: string, { angles, window }: Layer, first: number): Rows {
    const [heads, kvHeads, dim] = [this.#heads, this.#kvHeads, this.#headDim];
    const project = (row: Float64Array, name: string): Float64Array =>
      product(row, this.tensor(`${prefix}${name}.weight`), this.tensors.get(`${prefix}${name}.bias`));
    const isGated = this.#type === 'qwen3_5_text';
    const qkv = x.map((row) => {
      if (this.#type !== 'phi3') return ['q_proj', 'k_proj', 'v_proj'].map((name) => project(row, name));
      const all = project(row, 'qkv_proj');
      const ends = [0, heads * dim, (heads + kvHeads) * dim, (heads + 2 * kvHeads) * dim];
      return [0, 1, 2].map((i) => all.slice(ends[i], ends[i + 1]));
    });
    const headsOf = (
      row: Float64Array,
      name: 'q_norm' | 'k_norm' | null,
      position: number,
    ): Float64Array[] => {
      const weight = name && this.tensors.get(`${prefix}${name}.weight`)?.values;
      const whole = weight && weight.length !== dim ? rmsNorm(row, weight, this.#eps) : row;
      return Array.from({ length: row.length / dim }, (_, h) => {
        const head = whole.slice(h * dim, (h + 1) * dim);
        const normed = weight?.length === dim ? rmsNorm(head, weight, this.#eps, this.#plus) : head;
        return name && angles ? rotate(normed, position, angles) : normed;
      });
    };
    // Each query head is followed by its gate.
    const gates = qkv.map(([q]) => (isGated ? q!.filter((_, e) => e % (2 * dim) >= dim) : null));
    const queries = qkv.map(([q]) => (isGated ? q!.filter((_, e) => e % (2 * dim) < dim) : q!));
    const split = qkv.map(([, k, v], i) => ({
      q: headsOf(queries[i]!, 'q_norm', first + i),
      k: headsOf(k!, 'k_norm', first + i),
      v: headsOf(v!, null, first + i),
    }));
    const scale =
      this.#type === 'gemma3_text'
        ? this.#number('query_pre_attn_scalar') ** -0.5
        : this.#number('attention_multiplier', dim ** -0.5);
    return split.map(({ q }, i) => {
      const out = new Float64Array(heads * dim);
      q.forEach((query, h) => {
        const shared = Math.floor(h / (heads / kvHeads));
        const from = Math.max(0, i - window + 1);
        const scores = split
          .slice(from, i + 1)
          .map(({ k }) => scale * query.reduce((sum, value, e) => sum + value * k[shared]![e]!, 0));
        const most = Math.max(...scores);
        const weights = scores.map((score) => Math.exp(score - most));
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        weights.forEach((weight, j) => {
          split[from + j]!.v[shared]!.forEach((value, e) => (out[h * dim + e]! += (weight / total) * value));
        });
      });
      return project(
        out.map((value, e) => value / (1 + (isGated ? Math.exp(-gates[i]![e]!) : 0))),
        'o_proj',
      );
    });
  }
}

function halves(x: Float64Array): [Float64Array, Float64Array] {
  return [x.slice(0, x.length / 2), x.slice(x.length / 2)];
}
