import { ForetokenError } from '../errors';
import { headLayerConfig, type ModelConfig } from './config';
import type { NamedTensor } from './safetensors';
import { ARRAYS, byteLength, type TensorData } from './safetensors/format';
import type { RowReader, WeightSource } from './weight-source';

// Checkpoints of a family whose attention has a gate hold it with the queries, in one tensor: for each head the rows of q_proj, then those
// of the gate. A model has two tensors, so that all queries lie side by side, and all gates.

const QUERIES = /self_attn\.q_proj\.(weight|bias)$/;

/** Names the tensor of a model that holds the gates of some queries. */
function gateOf(queries: string): string {
  return queries.replace('q_proj', 'q_gate');
}

/** One of the two tensors that a tensor of a file becomes. */
interface Half {
  readonly stored: string;
  readonly isGate: boolean;
}

/**
 * Takes the gates of attention out of the tensors of queries, under the name `q_gate`, if the family has gates.
 * @throws CORRUPT_FILE naming a tensor with another number of rows
 */
export function withGatesApart(source: WeightSource, config: ModelConfig): WeightSource {
  const { outputGate, heads, headDim } = headLayerConfig(config).block;
  if (!outputGate) return source;
  const halves = new Map<string, Half>();
  for (const stored of source.names.filter((name) => QUERIES.test(name))) {
    const { shape } = source.info(stored);
    if (shape[0] !== 2 * heads * headDim) {
      const needed = `the queries and gates of ${heads} heads need ${2 * heads * headDim} rows`;
      const problem = `tensor "${stored}": its shape is [${shape.join(', ')}], but ${needed}`;
      throw new ForetokenError('CORRUPT_FILE', `${source.path}: ${problem}`);
    }
    halves.set(stored, { stored, isGate: false }).set(gateOf(stored), { stored, isGate: true });
  }
  const rows = (name: string): RowReader => {
    const half = halves.get(name);
    return half ? rowsOfHalf(source, half, headDim) : source.rows(name);
  };
  return {
    path: source.path,
    names: source.names.flatMap((name) => (halves.has(name) ? [name, gateOf(name)] : [name])),
    normsHoldOnePlus: source.normsHoldOnePlus,
    has: (name) => halves.has(name) || source.has(name),
    info: (name) => {
      const half = halves.get(name);
      if (!half) return source.info(name);
      const { dtype, shape } = source.info(half.stored);
      return { dtype, shape: [heads * headDim, ...shape.slice(1)] };
    },
    read: (name) => (halves.has(name) ? rows(name).next(heads * headDim) : source.read(name)),
    rows,
    close: () => source.close(),
  };
}

/** Reads the rows of queries or gates, and over those of the other. */
function rowsOfHalf(source: WeightSource, { stored, isGate }: Half, headDim: number): RowReader {
  const { dtype, shape } = source.info(stored);
  const rowBytes = byteLength({ dtype, shape: shape.slice(1) });
  const both = source.rows(stored);
  let row = 0; // of the head
  return {
    next: async (count) => {
      const bytes = new Uint8Array(count * rowBytes);
      for (let done = 0; done < count;) {
        if (isGate && row === 0) await both.next(headDim);
        const some = Math.min(count - done, headDim - row);
        bytes.set(bytesOf(await both.next(some)), done * rowBytes);
        done += some;
        row = (row + some) % headDim;
        if (!isGate && row === 0) await both.next(headDim);
      }
      return new ARRAYS[dtype](bytes.buffer);
    },
  };
}

/** Puts the gates of a model back between its queries. */
export function withGatesTogether(tensors: readonly NamedTensor[], { headDim }: ModelConfig): NamedTensor[] {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const gates = new Map(
    [...byName.keys()]
      .filter((name) => QUERIES.test(name) && byName.has(gateOf(name)))
      .map((name) => [name, byName.get(gateOf(name))!]),
  );
  const apart = new Set(gates.values());
  return tensors
    .filter((tensor) => !apart.has(tensor))
    .map((tensor) => {
      const gate = gates.get(tensor.name);
      return gate ? together(tensor, gate, headDim) : tensor;
    });
}

function together(queries: NamedTensor, gate: NamedTensor, headDim: number): NamedTensor {
  const { name, dtype, shape } = queries;
  const [rows, ...rest] = shape as [number, ...number[]];
  const headBytes = headDim * byteLength({ dtype, shape: rest });
  const data = async (): Promise<TensorData> => {
    const halves = [bytesOf(await dataOf(queries)), bytesOf(await dataOf(gate))];
    const bytes = new Uint8Array(2 * halves[0]!.length);
    halves.forEach((half, i) => {
      for (let at = 0; at < half.length; at += headBytes) {
        bytes.set(half.subarray(at, at + headBytes), 2 * at + i * headBytes);
      }
    });
    return new ARRAYS[dtype](bytes.buffer);
  };
  return { name, dtype, shape: [2 * rows, ...rest], data };
}

function dataOf({ data }: NamedTensor): TensorData | Promise<TensorData> {
  return typeof data === 'function' ? data() : data;
}

function bytesOf({ buffer, byteOffset, byteLength: length }: TensorData): Uint8Array {
  return new Uint8Array(buffer, byteOffset, length);
}
