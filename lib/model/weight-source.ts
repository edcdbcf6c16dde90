import type { TensorData, TensorInfo } from './safetensors/format';

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
  /** Closes the files. */
  close(): Promise<void>;
}
