import { ForetokenError } from '../errors';
import type { DType, HostArray, TensorHandle } from '../native/binding';
import { native } from '../native/load';
import { backward, type GradNode } from './autograd';
import type { Device } from './device';
import { inScope, own, type Scoped, type Surviving } from './scope';

// Only a net for tensors made outside every scope and forgotten: freeing is explicit.
const forgotten = new FinalizationRegistry<TensorHandle>((handle) => {
  try {
    native.dispose(handle);
  } catch {
    // Its device was closed first.
  }
});

/**
 * A dense row-major array on a device. Operations return at once and run in order on the device's stream; only
 * `data()` and `item()` wait, without blocking the event loop.
 */
export class Tensor implements Surviving, Disposable {
  /** Whether operations on this tensor are recorded for `backward`. */
  requiresGrad = false;
  /** For a leaf: the gradient gathered so far, float32, same shape. */
  grad: Tensor | null = null;
  /**
   * For a copy of a leaf in another dtype: the leaf, where gradients of the copy gather.
   * @internal
   */
  master: Tensor | null = null;
  /**
   * The operation that made this tensor, when it is part of a recorded graph.
   * @internal
   */
  node: GradNode | null = null;

  readonly #handle: TensorHandle;
  #disposed = false;
  #shape: readonly number[] | undefined;
  #dtype: DType | undefined;
  #watched = false;

  /** Takes over a handle that an operation returned. */
  constructor(
    /** Where the elements lie; an operation wants all its tensors on one device. */
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

  /** No scope owns this tensor: should it be forgotten, the collector frees it. */
  released(): void {
    forgotten.register(this, this.#handle, this);
    this.#watched = true;
  }

  /** The native handle; once this tensor was disposed, operations refuse it, naming the argument. */
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

  /** Whether `dispose` was called, by a scope that ended or by anyone else. */
  get disposed(): boolean {
    return this.#disposed;
  }

  /** The contents, once everything enqueued before has run; 16-bit floats as their bits. */
  async data(): Promise<HostArray> {
    return native.read(this.handle);
  }

  /** The only element of a one-element tensor. */
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

  /** Copies the elements of `source`, which has the same dtype and as many. */
  copyFrom(source: Tensor): this {
    native.copyInto(this.handle, source.handle);
    return this;
  }

  /** The elements in another floating dtype, rounded to nearest even; outside the recorded graph. */
  cast(dtype: DType): Tensor {
    return new Tensor(this.device, native.cast(this.handle, dtype));
  }

  /** The memory from element `offset` on under another shape, outside the recorded graph. */
  view(offset: number, shape: readonly number[]): Tensor {
    return new Tensor(this.device, native.view(this.handle, offset, shape));
  }

  /** The same memory under a new handle, outside the recorded graph. */
  detach(): Tensor {
    return new Tensor(this.device, native.alias(this.handle));
  }

  /** Marks this leaf as one whose gradient is wanted. */
  requireGrad(): this {
    if (this.node)
      throw new ForetokenError('INVALID_ARGUMENT', 'requireGrad: only for tensors no operation made');
    this.requiresGrad = true;
    return this;
  }

  /**
   * Adds the gradient of this tensor to the `grad` of every leaf it was made from, freeing the recorded graph on
   * the way.
   * @param grad gradient of this tensor, same shape; may be left out for a single element (1 is meant)
   */
  backward(grad?: Tensor): void {
    backward([[this, grad]]);
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    // Most tensors never leave their scope, and asking the registry costs more than an operation.
    if (this.#watched) forgotten.unregister(this);
    if (!this.device.closed) native.dispose(this.#handle);
  }

  /** What `using` calls: {@link dispose}. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** @internal */
  dependencies(): Iterable<Scoped | null | undefined> {
    return [this.node, this.grad];
  }
}
