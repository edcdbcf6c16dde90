import type { TensorData, TensorInfo } from './safetensors/format';

/** Reads a tensor piece by piece, first rows first. A row is all elements with one index in the first dimension. */
export interface RowReader {
  /**
   * Reads the next rows, of which there must be as many. The next call of any reader of the source may
   * overwrite the array.
   * @throws CORRUPT_FILE if the tensor's bytes are damaged; for some formats only with the last row
   */
  next(count: number): Promise<TensorData>;
}

/** Named tensors of a model, in an open file or several. Only what describes them is in memory. */
export interface WeightSource {
  /** The path that was opened, for messages. */
  readonly path: string;
  /** The tensors by the names that Hugging Face gives them in the model's family. */
  readonly names: readonly string[];
  /** Whether tensors of norms hold 1 + w in families in which Hugging Face stores w, as GGUF files do. Default false. */
  readonly normsHoldOnePlus?: boolean;
  /** Whether there is a tensor of this name. */
  has(name: string): boolean;
  /**
   * Describes a tensor; its type is that of what `read` returns.
   * @throws INVALID_ARGUMENT if there is no such tensor
   */
  info(name: string): TensorInfo;
  /**
   * Reads one tensor into an array of its own, in row-major order; 16-bit floats come as their bits.
   * @throws INVALID_ARGUMENT if there is no such tensor; CORRUPT_FILE if the tensor's bytes are damaged
   */
  read(name: string): Promise<TensorData>;
  /**
   * Begins to read a tensor of at least one dimension in pieces.
   * @throws INVALID_ARGUMENT if there is no such tensor
   */
  rows(name: string): RowReader;
  /** Closes the files. */
  close(): Promise<void>;
}
