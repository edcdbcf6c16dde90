import type { Device } from '../tensor/device';
import { rows } from '../tensor/ops/layers/reshape';
import { keep } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import { powerOfTwo } from './step-form';

/** Fewest tokens of a row. */
const SHORTEST = 256;

/** The texts of an engine's slots on the device, for penalties. Grows with the longest text; then it is another tensor. */
export class DeviceHistory implements Disposable {
  #tokens: Tensor | null = null;
  /** Tokens of each slot that are on the device. */
  readonly #written: Int32Array;

  constructor(
    private readonly device: Device,
    private readonly slots: number,
  ) {
    this.#written = new Int32Array(slots);
  }

  /** int32 [all slots, stride]; null before the first text. */
  get tokens(): Tensor | null {
    return this.#tokens;
  }

  /** Returns int32 [slots, stride]: the texts of the first slots. There must be texts. */
  of(slots: number): Tensor {
    return rows(this.#tokens!, 0, slots);
  }

  /** Forgets the text of a slot. */
  release(slot: number): void {
    this.#written[slot] = 0;
  }

  /** Makes room for texts of `length` tokens. Texts must then be written again. */
  reserve(length: number): void {
    if (length <= (this.#tokens?.shape[1] ?? 0)) return;
    const stride = powerOfTwo(Math.max(length, SHORTEST));
    const tokens = keep(this.device.empty([this.slots, stride], 'int32'));
    this.#tokens?.dispose();
    this.#tokens = tokens;
    this.#written.fill(0);
  }

  /** Uploads the tokens of a slot's text that are not on the device yet. */
  write(slot: number, text: readonly number[]): void {
    const start = this.#written[slot]!;
    if (start === text.length) return;
    const stride = this.#tokens!.shape[1]!;
    using target = this.#tokens!.view(slot * stride + start, [text.length - start]);
    target.write(Int32Array.from(text.slice(start)));
    this.#written[slot] = text.length;
  }

  dispose(): void {
    this.#tokens?.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
