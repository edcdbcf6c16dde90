import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { readJson } from '../lib/files';
import { readSafetensors } from '../lib/model/safetensors';
import type { WeightDType } from '../lib/native/binding';

/** GGUF's numbers for the types of values and tensors that this file writes. */
const VALUES = { uint32: 4, int32: 5, float32: 6, bool: 7, string: 8, array: 9 } as const;
const TENSORS: Record<string, number> = { F32: 0, Q8_0: 8, BF16: 30 };
const ALIGNMENT = 32;

/** How many numbers share a scale in Q8_0. */
const BLOCK = 32;

const MATRICES: Record<WeightDType, string> = { float32: 'F32', bfloat16: 'BF16', int8: 'Q8_0' };

/** Bytes per number. */
const BYTES: Record<string, number> = { F32: 4, Q8_0: 1 + 2 / BLOCK, BF16: 2 };

/** GGUF's numbers for kinds of token. */
const KIND = { normal: 1, control: 3, byte: 6 };

/** A growing sequence of bytes. */
class Bytes {
  readonly #parts: Buffer[] = [];
  length = 0;

  add(part: Buffer): this {
    this.#parts.push(part);
    this.length += part.length;
    return this;
  }

  uint32(value: number): this {
    const part = Buffer.alloc(4);
    part.writeUInt32LE(value);
    return this.add(part);
  }

  uint64(value: number): this {
    const part = Buffer.alloc(8);
    part.writeBigUInt64LE(BigInt(value));
    return this.add(part);
  }

  float32(value: number): this {
    const part = Buffer.alloc(4);
    part.writeFloatLE(value);
    return this.add(part);
  }

  string(text: string): this {
    return this.uint64(Buffer.byteLength(text)).add(Buffer.from(text));
  }

  /** Appends zeros up to a multiple of the alignment. */
  pad(): this {
    return this.add(Buffer.alloc(-this.length & (ALIGNMENT - 1)));
  }

  toBuffer(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

/** The metadata entries of a file, and their number. */
class Metadata {
  readonly bytes = new Bytes();
  count = 0;

  #key(key: string, type: number): Bytes {
    this.count++;
    return this.bytes.string(key).uint32(type);
  }

  uint32(key: string, value: number): void {
    this.#key(key, VALUES.uint32).uint32(value);
  }

  float32(key: string, value: number): void {
    this.#key(key, VALUES.float32).float32(value);
  }

  bool(key: string, value: boolean): void {
    this.#key(key, VALUES.bool).add(Buffer.of(value ? 1 : 0));
  }

  string(key: string, value: string): void {
    this.#key(key, VALUES.string).string(value);
  }

  array<T>(
    key: string,
    type: keyof typeof VALUES,
    items: readonly T[],
    write: (bytes: Bytes, item: T) => void,
  ): void {
    const bytes = this.#key(key, VALUES.array).uint32(VALUES[type]).uint64(items.length);
    for (const item of items) write(bytes, item);
  }
}

interface Config {
  hidden_size: number;
  intermediate_size: number;
  num_hidden_layers: number;
  num_attention_heads: number;
  num_key_value_heads: number;
  head_dim: number;
  max_position_embeddings: number;
  rms_norm_eps: number;
  rope_theta: number;
  vocab_size: number;
}

/** GGUF's names for a layer's matrices, by their names here. */
const OF_LAYER: Record<string, string> = {
  'input_layernorm.weight': 'attn_norm.weight',
  'self_attn.q_proj.weight': 'attn_q.weight',
  'self_attn.k_proj.weight': 'attn_k.weight',
  'self_attn.v_proj.weight': 'attn_v.weight',
  'self_attn.o_proj.weight': 'attn_output.weight',
  'post_attention_layernorm.weight': 'ffn_norm.weight',
  'mlp.gate_proj.weight': 'ffn_gate.weight',
  'mlp.up_proj.weight': 'ffn_up.weight',
  'mlp.down_proj.weight': 'ffn_down.weight',
};
const OTHERS: Record<string, string> = {
  'model.embed_tokens.weight': 'token_embd.weight',
  'model.norm.weight': 'output_norm.weight',
  'lm_head.weight': 'output.weight',
};

function ggufName(name: string): string | undefined {
  const [, layer, rest] = /^model\.layers\.(\d+)\.(.*)$/.exec(name) ?? [];
  return layer === undefined ? OTHERS[name] : OF_LAYER[rest!] && `blk.${layer}.${OF_LAYER[rest!]!}`;
}

/** Reorders rows for llama.cpp, whose rotary embedding rotates neighbours in a head, not elements of its two halves. */
function inPairs(rows: Buffer, heads: number, headDim: number): Buffer {
  const half = headDim / 2;
  const rowBytes = rows.length / (heads * headDim);
  const result = Buffer.alloc(rows.length);
  for (let head = 0; head < heads; head++) {
    for (let i = 0; i < headDim; i++) {
      const from = (head * headDim + (i % 2) * half + (i >> 1)) * rowBytes;
      rows.copy(result, (head * headDim + i) * rowBytes, from, from + rowBytes);
    }
  }
  return result;
}

function metadataOf(config: Config): Metadata {
  const metadata = new Metadata();
  metadata.string('general.architecture', 'llama');
  metadata.uint32('general.alignment', ALIGNMENT);
  metadata.uint32('llama.vocab_size', config.vocab_size);
  metadata.uint32('llama.context_length', config.max_position_embeddings);
  metadata.uint32('llama.embedding_length', config.hidden_size);
  metadata.uint32('llama.block_count', config.num_hidden_layers);
  metadata.uint32('llama.feed_forward_length', config.intermediate_size);
  metadata.uint32('llama.rope.dimension_count', config.head_dim);
  metadata.uint32('llama.attention.head_count', config.num_attention_heads);
  metadata.uint32('llama.attention.head_count_kv', config.num_key_value_heads);
  metadata.float32('llama.attention.layer_norm_rms_epsilon', config.rms_norm_eps);
  metadata.float32('llama.rope.freq_base', config.rope_theta);
  // Bytes are written as a SentencePiece vocabulary writes bytes without a piece, except the space, which has a letter of its
  // own. Control tokens follow.
  const ids = Array.from({ length: config.vocab_size }, (_, id) => id);
  const piece = (id: number): string => {
    if (id === 32) return '▁';
    return id < 256 ? `<0x${id.toString(16).toUpperCase().padStart(2, '0')}>` : `<${id}>`;
  };
  const kind = (id: number): number => (id === 32 ? KIND.normal : id < 256 ? KIND.byte : KIND.control);
  metadata.string('tokenizer.ggml.model', 'llama');
  metadata.array('tokenizer.ggml.tokens', 'string', ids, (bytes, id) => bytes.string(piece(id)));
  metadata.array('tokenizer.ggml.scores', 'float32', ids, (bytes) => bytes.float32(0));
  metadata.array('tokenizer.ggml.token_type', 'int32', ids, (bytes, id) => bytes.uint32(kind(id)));
  for (const name of ['bos', 'eos', 'unknown']) metadata.uint32(`tokenizer.ggml.${name}_token_id`, 256);
  metadata.bool('tokenizer.ggml.add_bos_token', false);
  metadata.bool('tokenizer.ggml.add_space_prefix', false);
  return metadata;
}

/** The bits of a float16, for nonnegative numbers in its range. */
function halfBits(x: number): number {
  if (x < 2 ** -14) return Math.round(x * 2 ** 24);
  const exponent = Math.floor(Math.log2(x));
  return ((exponent + 14) << 10) + Math.round((x / 2 ** exponent) * 1024);
}

/** Converts numbers to blocks of a float16 scale and the nearest integers. */
function inQ8(values: Float32Array): Buffer {
  const blocks = Buffer.alloc((values.length / BLOCK) * (2 + BLOCK));
  for (let first = 0, at = 0; first < values.length; first += BLOCK, at += 2 + BLOCK) {
    let largest = 0;
    for (let i = first; i < first + BLOCK; i++) largest = Math.max(largest, Math.abs(values[i]!));
    const scale = largest / 127;
    blocks.writeUInt16LE(halfBits(scale), at);
    for (let i = 0; i < BLOCK; i++) {
      blocks.writeInt8(scale > 0 ? Math.round(values[first + i]! / scale) : 0, at + 2 + i);
    }
  }
  return blocks;
}

/** Converts numbers to a GGUF type; bfloat16 is rounded to nearest even. */
function inType(type: string, values: Float32Array): Buffer {
  if (type === 'Q8_0') return inQ8(values);
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  if (type === 'F32') return Buffer.from(words.buffer, words.byteOffset, words.byteLength);
  return Buffer.from(Uint16Array.from(words, (bits) => (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16).buffer);
}

/**
 * Writes the trunk of a float32 byte-level model as a GGUF file.
 * @param directory the model's directory
 * @param dtype type of matrices; int8 becomes Q8_0
 */
export async function writeGguf(directory: string, path: string, dtype: WeightDType): Promise<void> {
  const config = (await readJson(join(directory, 'config.json'))) as Config;
  const file = await readSafetensors(directory);
  try {
    const tensors = file.names.flatMap((name): [string, string, readonly number[], string][] => {
      const theirs = ggufName(name);
      const { shape } = file.info(name);
      return theirs ? [[name, theirs, shape, shape.length > 1 ? MATRICES[dtype] : 'F32']] : [];
    });
    const metadata = metadataOf(config);
    const head = new Bytes().add(Buffer.from('GGUF')).uint32(3).uint64(tensors.length).uint64(metadata.count);
    head.add(metadata.bytes.toBuffer());
    let offset = 0;
    for (const [, theirs, shape, type] of tensors) {
      head.string(theirs).uint32(shape.length);
      for (const size of shape.toReversed()) head.uint64(size);
      head.uint32(TENSORS[type]!).uint64(offset);
      const bytes = shape.reduce((product, size) => product * size, BYTES[type]!);
      offset += Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
    }
    const out = await open(path, 'w');
    try {
      await out.write(head.pad().toBuffer());
      for (const [name, theirs, , type] of tensors) {
        let bytes = inType(type, (await file.read(name)) as Float32Array);
        if (theirs.endsWith('attn_q.weight'))
          bytes = inPairs(bytes, config.num_attention_heads, config.head_dim);
        if (theirs.endsWith('attn_k.weight'))
          bytes = inPairs(bytes, config.num_key_value_heads, config.head_dim);
        await out.write(new Bytes().add(bytes).pad().toBuffer());
      }
    } finally {
      await out.close();
    }
  } finally {
    await file.close();
  }
}
