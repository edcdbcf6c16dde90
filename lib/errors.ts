/**
 * Stable error codes. The addon throws those up to `INTERNAL`, which csrc/core/error.cc lists as well; only TypeScript throws the
 * others.
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
  /** The loss or gradient of a training is no longer a number, or a model's logits are not numbers. */
  | 'DIVERGED'
  | 'INTERNAL'
  /** The native addon cannot be loaded on this system; the message says why and how to build it. */
  | 'ADDON_UNAVAILABLE'
  /** A file that cannot be found, read or written. `cause` holds the system's error. */
  | 'FILE_ACCESS'
  /** A file of foretoken or of a known format is damaged or malformed. */
  | 'CORRUPT_FILE'
  /** A model, tokenizer or training configuration that is malformed or contradicts itself. */
  | 'INVALID_CONFIG'
  /** The Hugging Face Hub refuses, cannot be reached, or sends other data than it announces. */
  | 'DOWNLOAD_FAILED'
  /** Text for training cannot be used: not UTF-8, empty, too short, or without a field. */
  | 'INVALID_DATA';

/** Every error that foretoken throws on purpose. Programs should branch on `code`; the message is for people. */
export class ForetokenError extends Error {
  /** Identifies the class if a program has several copies of the package, where `instanceof` fails. */
  override readonly name = 'ForetokenError';

  constructor(
    /** The kind of error; codes do not change between versions. */
    readonly code: ErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
