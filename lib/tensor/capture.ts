import { callback, check, checkOptions, instance, type Schema } from '../check';
import type { CaptureHandle } from '../native/binding';
import { native } from '../native/load';
import { noGrad } from './autograd';
import { device as deviceChecker } from './checks';
import type { Device } from './device';
import { keep, scope } from './scope';
import type { Tensor } from './tensor';

/** Operations that run again, on the same memory, with one call; CUDA calls this a graph. */
export class Capture<T extends Readonly<Record<string, Tensor>>> implements Disposable {
  readonly #device: Device;
  readonly #handle: CaptureHandle;
  #disposed = false;

  /** @internal Made by {@link capture}. */
  constructor(
    device: Device,
    handle: CaptureHandle,
    /** The tensors that the captured function returned; every replay writes to them. */
    readonly result: T,
  ) {
    this.#device = device;
    this.#handle = handle;
    for (const tensor of Object.values(result)) keep(tensor);
  }

  /** The native handle. */
  get handle(): CaptureHandle {
    return this.#handle;
  }

  /**
   * Enqueues all operations.
   * @throws ForetokenError INVALID_HANDLE after `dispose`
   */
  replay(): void {
    native.replay(this.#handle);
  }

  /** Frees the operations, their memory and the result. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const tensor of Object.values(this.result)) tensor.dispose();
    if (!this.#device.closed) native.disposeCapture(this.#handle);
  }

  /** Calls {@link dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Options of {@link capture}. */
export interface CaptureOptions {
  /** A capture whose memory this one may reuse, because the two never run at the same time. Its result is not overwritten. */
  sharesMemoryWith?: Capture<Readonly<Record<string, Tensor>>>;
}

const CAPTURE_OPTIONS: Schema<CaptureOptions> = { sharesMemoryWith: instance(Capture) };

/**
 * Collects the operations that `fn` enqueues on `device`, without running them. A replay reads the current contents of the
 * tensors that `fn` used: to give it new input, `write` to them first. Data that `fn` itself uploads are captured with their
 * contents. Inside `fn` nothing can be read back and no gradients are recorded.
 * @param fn synchronous
 * @throws whatever `fn` throws; the capture is then discarded, and the device stays usable
 * @throws ForetokenError INTERNAL if a call of the device failed in `fn`, even if `fn` caught the error
 */
export function capture<T extends Readonly<Record<string, Tensor>>>(
  device: Device,
  fn: () => T,
  options: CaptureOptions = {},
): Capture<T> {
  check('capture: device', device, deviceChecker);
  check('capture: fn', fn, callback);
  const { sharesMemoryWith } = checkOptions('capture', options, CAPTURE_OPTIONS);
  const handle = native.beginCapture(device.handle, sharesMemoryWith?.handle);
  try {
    const result = noGrad(() =>
      scope(() => {
        const results = fn();
        native.endCapture(handle); // if this throws, the scope frees the results
        return results;
      }),
    );
    return new Capture(device, handle, result);
  } catch (error) {
    if (!device.closed) native.disposeCapture(handle);
    throw error;
  }
}
