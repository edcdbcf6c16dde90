import type { MtpModel } from '../model/model';
import { Decoder, type DecoderOptions } from './decoder';

/** A decoder has room for a multiple of so many positions, so that it serves texts of similar lengths. */
const ROOM = 256;

/**
 * The decoder that was used last, kept for the next text: what it captured serves again, as long as nothing has changed that
 * it depends on. It holds the memory of one KV cache.
 */
export class DecoderCache implements Disposable {
  #decoder: Decoder | null = null;
  #disposed = false;

  /** The one that is kept, if it serves; else a new one. Whoever takes it disposes it, or gives it back. */
  take(model: MtpModel, options: DecoderOptions): Decoder {
    const kept = this.#decoder;
    this.#decoder = null;
    if (kept?.serves(options)) {
      kept.reset();
      return kept;
    }
    kept?.[Symbol.dispose]();
    return new Decoder(model, { ...options, capacity: Math.ceil(options.capacity / ROOM) * ROOM });
  }

  /** Keeps a decoder between two steps instead of the one that is kept. */
  give(decoder: Decoder): void {
    this.#decoder?.[Symbol.dispose]();
    this.#decoder = decoder;
    if (this.#disposed) this[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#decoder?.[Symbol.dispose]();
    this.#decoder = null;
  }
}
