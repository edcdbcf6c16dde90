/**
 * Stable error codes. Those up to `INTERNAL` are the native side's own (csrc/core/error.cc lists the same
 * strings); the rest are raised by TypeScript about things the native side never sees.
 */
export type ErrorCode =
  | 'INVALID_ARGUMENT'
  | 'INVALID_HANDLE'
  | 'SHAPE_MISMATCH'
  | 'DTYPE_MISMATCH'
  | 'DEVICE_MISMATCH'
  | 'INDEX_OUT_OF_RANGE'
  | 'OUT_OF_MEMORY'
  | 'UNSUPPORTED'
  | 'DEVICE_UNAVAILABLE'
  /** Training whose loss or gradient is no longer a number, or a model whose logits are none. */
  | 'DIVERGED'
  | 'INTERNAL'
  /** The native addon cannot be loaded on this system; the message says why and how to build it. */
  | 'ADDON_UNAVAILABLE'
  /** A file that cannot be found, read or written. `cause` holds the system's error. */
  | 'FILE_ACCESS'
  /** A file of ours, or of a known format, whose bytes are not what they must be. */
  | 'CORRUPT_FILE'
  /** A model, tokenizer or training configuration that is malformed or contradicts itself. */
  | 'INVALID_CONFIG'
  /** Text to train on that cannot be used: not UTF-8, empty, too short, a missing field. */
  | 'INVALID_DATA';

/** Every error that foretoken raises on purpose. Branch on `code`; the message is for people. */
export class ForetokenError extends Error {
  /** For where `instanceof` is no help: more than one copy of the package in a program. */
  override readonly name = 'ForetokenError';

  constructor(
    /** Which kind of error it is; the list does not change under programs that branch on it. */
    readonly code: ErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
