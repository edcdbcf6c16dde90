import type { TensorData, TensorInfo } from '../safetensors/format';
import { ForetokenError } from '../../errors';
import type { RowReader, WeightSource } from '../weight-source';
import type { Architecture, CommonConfig } from './architectures';
import { ROPE_FACTORS } from './config';
import { DEQUANTIZERS } from './dequantize';
import { bytesOf, corrupt, elements } from './format';
import { huggingFaceName } from './names';
import type { GgufFile } from './read';

/** Numbers of a tensor: float32, or the bits of 16-bit floats. */
type Values = Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer>;

/** Numbers of a tensor that are converted at once: a whole number of blocks of every type. */
const PIECE = 1 << 20;

/** Reads numbers into memory that its next call uses again, because the system takes longer to give fresh memory than it takes to fill it. */
class NumberReader {
  #values = new ArrayBuffer(0);
  #blocks = new Uint8Array(0);

  constructor(private readonly file: GgufFile) {}

  /**
   * Reads numbers of a tensor; quantized numbers come as float32, which holds them exactly.
   * @param name in the file
   * @param first the first number; it and `count` are multiples of the type's block
   */
  async read(name: string, first: number, count: number): Promise<Values> {
    const { type } = this.file.tensors.get(name)!;
    const Numbers = type === 'F16' || type === 'BF16' ? Uint16Array : Float32Array;
    const size = count * Numbers.BYTES_PER_ELEMENT;
    if (this.#values.byteLength < size) this.#values = new ArrayBuffer(size);
    const values = new Numbers(this.#values, 0, count);
    const dequantize = DEQUANTIZERS[type];
    if (!dequantize) {
      await this.file.readBytes(name, new Uint8Array(this.#values, 0, size), bytesOf(type, first));
      return values;
    }
    const most = bytesOf(type, Math.min(PIECE, count));
    if (this.#blocks.length < most) this.#blocks = new Uint8Array(most);
    for (let done = 0; done < count; done += PIECE) {
      const length = Math.min(PIECE, count - done);
      const bytes = this.#blocks.subarray(0, bytesOf(type, length));
      await this.file.readBytes(name, bytes, bytesOf(type, first + done));
      dequantize(bytes, values.subarray(done, done + length) as Float32Array);
    }
    return values;
  }
}

/** Reads a whole tensor by the name that it has in the file. */
export function readTensor(file: GgufFile, name: string): Promise<Values> {
  return new NumberReader(file).read(name, 0, elements(file.tensors.get(name)!.shape));
}

/** Where a tensor lies: a number of rows of a tensor of the file. */
interface Place {
  /** The name in the file. */
  readonly stored: string;
  readonly firstRow: number;
  readonly shape: readonly number[];
}

/** Lists the tensors of a file by Hugging Face's names. One tensor for q, k and v, which any architecture may have, becomes three. */
function placesOf(file: GgufFile, architecture: Architecture, config: CommonConfig): [string, Place][] {
  const rows = config.num_attention_heads * config.head_dim;
  const kvRows = config.num_key_value_heads * config.head_dim;
  return [...file.tensors].flatMap(([stored, { shape }]): [string, Place][] => {
    if (stored === ROPE_FACTORS) return [];
    const name = huggingFaceName(stored, architecture);
    if (!/^blk\.\d+\.attn_qkv\./.test(name)) return [[name, { stored, firstRow: 0, shape }]];
    const [all, ...width] = shape;
    if (all !== rows + 2 * kvRows) {
      throw corrupt(
        file.path,
        `tensor "${stored}": it has ${all} rows, but q, k and v need ${rows + 2 * kvRows}`,
      );
    }
    const part = (to: string, firstRow: number, count: number): [string, Place] => [
      huggingFaceName(stored.replace('attn_qkv', to), architecture),
      { stored, firstRow, shape: [count, ...width] },
    ];
    return [part('attn_q', 0, rows), part('attn_k', rows, kvRows), part('attn_v', rows + kvRows, kvRows)];
  });
}

/** The tensors of a GGUF file by Hugging Face's names, with its order of rows. */
export class GgufWeights implements WeightSource {
  readonly names: readonly string[];
  readonly normsHoldOnePlus: boolean;
  readonly #places: ReadonlyMap<string, Place>;
  /** Of all readers of rows. */
  readonly #numbers: NumberReader;

  constructor(
    private readonly file: GgufFile,
    private readonly architecture: Architecture,
    private readonly config: CommonConfig,
  ) {
    const places = placesOf(file, architecture, config);
    this.#places = new Map(places);
    this.names = [...this.#places.keys()];
    if (this.names.length < places.length) {
      throw corrupt(file.path, "two of its tensors have the same name in Hugging Face's names");
    }
    this.#numbers = new NumberReader(file);
    this.normsHoldOnePlus = architecture.normsHoldOnePlus ?? false;
  }

  get path(): string {
    return this.file.path;
  }

  has(name: string): boolean {
    return this.#places.has(name);
  }

  info(name: string): TensorInfo {
    const { stored, shape } = this.#place(name);
    const { type } = this.file.tensors.get(stored)!;
    return { dtype: type === 'F16' || type === 'BF16' ? type : 'F32', shape };
  }

  async read(name: string): Promise<TensorData> {
    const { stored, firstRow, shape } = this.#place(name);
    const first = firstRow * elements(shape.slice(1));
    const data = await new NumberReader(this.file).read(stored, first, elements(shape));
    return this.#isReordered(name) ? inHalves(data, shape[0]!, this.config.head_dim) : data;
  }

  rows(name: string): RowReader {
    const { stored, firstRow, shape } = this.#place(name);
    const width = elements(shape.slice(1));
    let row = 0;
    let whole: Promise<TensorData> | undefined;
    return {
      next: async (count) => {
        const first = row;
        row += count;
        // Rows in another order are needed together, and single numbers make no blocks.
        if (width === 1 || this.#isReordered(name)) {
          whole ??= this.read(name);
          return (await whole).subarray(first * width, row * width);
        }
        return this.#numbers.read(stored, (firstRow + first) * width, count * width);
      },
    };
  }

  #isReordered(name: string): boolean {
    return this.architecture.inPairs === true && isRotated(name);
  }

  close(): Promise<void> {
    return this.file.close();
  }

  #place(name: string): Place {
    const place = this.#places.get(name);
    if (!place) throw new ForetokenError('INVALID_ARGUMENT', `${this.path}: it has no tensor "${name}"`);
    return place;
  }
}

/** Whether a tensor gives q or k, whose rows lie in pairs in some architectures. */
export function isRotated(name: string): boolean {
  return /\.self_attn\.[qk]_proj\.(weight|bias)$/.test(name);
}

/**
 * Undoes llama.cpp's order of the rows of q and k: it rotates neighbours of a head, Hugging Face elements of its two halves. Row i of a
 * half is row 2i or 2i + 1 of the file.
 */
export function inHalves<T extends Values>(data: T, rows: number, headDim: number): T {
  return reorderRows(data, rows, headDim, (i) => (i < headDim / 2 ? 2 * i : 2 * i - headDim + 1));
}

/** Puts rows of q and k into the order of the file; the opposite of {@link inHalves}. */
export function inPairs<T extends Values>(data: T, rows: number, headDim: number): T {
  return reorderRows(data, rows, headDim, (i) => (i >> 1) + (i % 2) * (headDim / 2));
}

/** Reorders the rows of each head: row i becomes row `from(i)` of the same head. */
function reorderRows<T extends Values>(
  data: T,
  rows: number,
  headDim: number,
  from: (row: number) => number,
): T {
  const result = data.slice() as T;
  const width = data.length / rows;
  for (let row = 0; row < rows; row++) {
    const inHead = row % headDim;
    const source = (row - inHead + from(inHead)) * width;
    result.set(data.subarray(source, source + width), row * width);
  }
  return result;
}
