import { callback, check, checkOptions, instance, type Schema } from '../check';
import type { CaptureHandle } from '../native/binding';
import { native } from '../native/load';
import { noGrad } from './autograd';
import { device as deviceChecker } from './checks';
import type { Device } from './device';
import { keep, scope } from './scope';
import type { Tensor } from './tensor';

/** Operations that run again, on the same memory, with one call: what CUDA calls a graph. */
export class Capture<T extends Readonly<Record<string, Tensor>>> implements Disposable {
  readonly #device: Device;
  readonly #handle: CaptureHandle;
  #disposed = false;

  /** @internal Made by {@link capture}. */
  constructor(
    device: Device,
    handle: CaptureHandle,
    /** What the captured function returned: the same tensors always, filled by every replay. */
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
   * @throws ForetokenError INVALID_HANDLE once disposed
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

  /** What `using` calls: {@link dispose}. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** How {@link capture} takes memory. */
export interface CaptureOptions {
  /** A capture whose memory this one may use, too, in its turn; its result stays untouched. */
  sharesMemoryWith?: Capture<Readonly<Record<string, Tensor>>>;
}

const CAPTURE_OPTIONS: Schema<CaptureOptions> = { sharesMemoryWith: instance(Capture) };

/**
 * Gathers the operations that `fn` enqueues on `device`, without running them. A replay reads the tensors that `fn` used as
 * they are by then: to give it new input, `write` to them before. What `fn` itself uploads is captured with its contents.
 * Inside `fn` nothing can be read back and no gradients are recorded.
 * @param fn synchronous
 * @throws whatever `fn` throws; nothing is left of the capture then, and the device works on
 * @throws ForetokenError INTERNAL where a call of the device failed in `fn`, also if `fn` caught its error
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
        native.endCapture(handle); // where it throws, the scope frees the results
        return results;
      }),
    );
    return new Capture(device, handle, result);
  } catch (error) {
    if (!device.closed) native.disposeCapture(handle);
    throw error;
  }
}
