import type { MtpModel } from '../model/model';
import { Decoder, type DecoderOptions } from './decoder';

/** Capacities are multiples of so many positions, so that one decoder serves texts of similar lengths. */
const CAPACITY_STEP = 256;

/**
 * Keeps the decoder that was used last, with its captured steps, for the next text: a text with the same options needs no new
 * captures. Holds the memory of one KV cache.
 */
export class DecoderCache implements Disposable {
  #decoder: Decoder | null = null;
  #disposed = false;

  /** Returns the kept decoder if it fits, else a new one. The caller disposes of the decoder or gives it back. */
  take(model: MtpModel, options: DecoderOptions): Decoder {
    const kept = this.#decoder;
    this.#decoder = null;
    if (kept?.serves(options)) {
      kept.reset();
      return kept;
    }
    kept?.dispose();
    const capacity = Math.ceil(options.capacity / CAPACITY_STEP) * CAPACITY_STEP;
    return new Decoder(model, { ...options, capacity });
  }

  /** Keeps a decoder that has no step under way, in place of the one kept so far. */
  give(decoder: Decoder): void {
    this.#decoder?.dispose();
    this.#decoder = decoder;
    if (this.#disposed) this.dispose();
  }

  dispose(): void {
    this.#disposed = true;
    this.#decoder?.dispose();
    this.#decoder = null;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
