import type { Device } from '../tensor/device';
import { packSampling, type DeviceSampling } from '../tensor/ops/sampling/device-sampling';
import type { SamplingOptions } from '../tensor/ops/sampling/sampling';
import { powerOfTwo } from './step-form';

/** How the text of each slot is drawn, on the device. Becomes another tensor when a logit bias needs more room. */
export class SlotSampling implements Disposable {
  /** Options of the text in each slot; those of an empty slot draw the likeliest token, which needs least. */
  readonly #options: SamplingOptions[];
  #packed: DeviceSampling;
  #room = 0;

  constructor(
    private readonly device: Device,
    slots: number,
  ) {
    this.#options = new Array<SamplingOptions>(slots).fill({});
    this.#packed = packSampling(device, this.#options);
  }

  /** The options of all slots. */
  get packed(): DeviceSampling {
    return this.#packed;
  }

  /** Sets the options of a slot. */
  write(slot: number, options: SamplingOptions): void {
    const size = options.logitBias?.size ?? 0;
    if (size > this.#room) {
      const room = powerOfTwo(size);
      const larger = packSampling(this.device, this.#options, { biasRoom: room });
      this.#packed.dispose();
      [this.#packed, this.#room] = [larger, room];
    }
    this.#packed.write(slot, options);
    this.#options[slot] = options;
  }

  /** Forgets the options of a slot. */
  release(slot: number): void {
    this.write(slot, {});
  }

  dispose(): void {
    this.#packed.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
