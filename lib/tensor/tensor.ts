import { ForetokenError } from '../errors';
import type { DType, HostArray, TensorHandle } from '../native/binding';
import { native } from '../native/load';
import { backward, type GradNode } from './autograd';
import type { Device } from './device';
import { inScope, own, type Scoped, type Surviving } from './scope';

// Frees tensors that were made outside every scope and never disposed of. Callers should dispose of tensors themselves.
const forgotten = new FinalizationRegistry<TensorHandle>((handle) => {
  try {
    native.dispose(handle);
  } catch {
    // The device was closed first.
  }
});

/**
 * A dense row-major array on a device. Operations return at once and run in order on the device's stream; only `data()` and
 * `item()` wait for them, without blocking the event loop.
 */
export class Tensor implements Surviving, Disposable {
  /** Whether operations on this tensor are recorded for `backward`. */
  requiresGrad = false;
  /** For a leaf: the gradient accumulated so far, in float32, of the same shape. */
  grad: Tensor | null = null;
  /**
   * For a copy of a leaf in another dtype: the leaf, which accumulates the gradients of the copy.
   * @internal
   */
  master: Tensor | null = null;
  /**
   * The operation that made this tensor, if it is part of a recorded graph.
   * @internal
   */
  node: GradNode | null = null;

  readonly #handle: TensorHandle;
  #disposed = false;
  #shape: readonly number[] | undefined;
  #dtype: DType | undefined;
  #watched = false;

  /** Takes ownership of a handle that an operation returned. */
  constructor(
    /** The device that holds the elements; all tensors of an operation must be on one device. */
    readonly device: Device,
    handle: TensorHandle,
  ) {
    this.#handle = handle;
    if (inScope()) own(this);
    else this.released();
  }

  /**
   * Whether a value is a tensor of this copy of the package.
   * @internal
   */
  static isTensor(value: unknown): value is Tensor {
    return typeof value === 'object' && value !== null && #handle in value;
  }

  /** Called when no scope owns this tensor any more: from now on the garbage collector frees it if the caller does not. */
  released(): void {
    forgotten.register(this, this.#handle, this);
    this.#watched = true;
  }

  /** The native handle. Operations refuse it after `dispose`, with the name of the argument. */
  get handle(): TensorHandle {
    return this.#handle;
  }

  /** Sizes of the dimensions, outermost first; `[]` for a scalar. */
  get shape(): readonly number[] {
    return (this.#shape ??= native.shapeOf(this.handle));
  }

  /** Type of the elements. */
  get dtype(): DType {
    return (this.#dtype ??= native.dtypeOf(this.handle));
  }

  /** Number of elements. */
  get size(): number {
    return this.shape.reduce((product, dim) => product * dim, 1);
  }

  /** Whether `dispose` was called, by the caller or by a scope that ended. */
  get disposed(): boolean {
    return this.#disposed;
  }

  /** Reads the contents, after everything enqueued before has run; 16-bit floats as their bits. */
  async data(): Promise<HostArray> {
    return native.read(this.handle);
  }

  /** Reads the only element of a one-element tensor. */
  async item(): Promise<number> {
    if (this.size !== 1) {
      throw new ForetokenError(
        'SHAPE_MISMATCH',
        `item: the tensor is [${this.shape.join(', ')}], not one element`,
      );
    }
    return (await this.data())[0]!;
  }

  /** Replaces the contents. */
  write(data: HostArray): void {
    native.write(this.handle, data);
  }

  /** Sets every element of a floating tensor. */
  fill(value: number): this {
    native.fill(this.handle, value);
    return this;
  }

  /** Copies the elements of `source`, which must have the same dtype and number of elements. */
  copyFrom(source: Tensor): this {
    native.copyInto(this.handle, source.handle);
    return this;
  }

  /** Converts the elements to another floating dtype, rounding to nearest even; outside the recorded graph. */
  cast(dtype: DType): Tensor {
    return new Tensor(this.device, native.cast(this.handle, dtype));
  }

  /**
   * Makes a tensor of another shape on the memory from element `offset` on, outside the recorded graph.
   * @param dtype reads the same bits as another type of the same size; not for int32 tensors that were uploaded
   */
  view(offset: number, shape: readonly number[], dtype?: DType): Tensor {
    return new Tensor(this.device, native.view(shape, this.handle, offset, dtype));
  }

  /** Makes a second handle of the same memory, outside the recorded graph. */
  detach(): Tensor {
    return new Tensor(this.device, native.alias(this.handle));
  }

  /** Makes `backward` compute the gradient of this leaf. */
  requireGrad(): this {
    if (this.node)
      throw new ForetokenError(
        'INVALID_ARGUMENT',
        'requireGrad: an operation made this tensor, but only leaves may require a gradient',
      );
    this.requiresGrad = true;
    return this;
  }

  /**
   * Adds the gradient to the `grad` of every leaf that this tensor was made from, and frees the recorded graph.
   * @param grad gradient of this tensor, of the same shape. Default 1, for a tensor of one element
   */
  backward(grad?: Tensor): void {
    backward([[this, grad]]);
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    // Most tensors never leave their scope, and a call of the registry costs more than an operation.
    if (this.#watched) forgotten.unregister(this);
    if (!this.device.closed) native.dispose(this.#handle);
  }

  /** Calls {@link dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** @internal */
  dependencies(): Iterable<Scoped | null | undefined> {
    return [this.node, this.grad];
  }
}
