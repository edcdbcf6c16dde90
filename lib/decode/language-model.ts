import { findModel, loadModel } from '../model/checkpoint';
import type { MtpModel } from '../model/model';
import type { Tokenizer } from '../model/tokenizer';
import { openDevice, type Device } from '../tensor/device';
import type { DeviceName } from '../tensor/device-options';
import { generate, type Generation } from './generate';
import type { GenerateOptions } from './options';

/** A model with its tokenizer: text in, text out. */
export class LanguageModel implements Disposable {
  #ownDevice: Device | null = null;

  constructor(
    /** The model, disposed together with this. */
    readonly model: MtpModel,
    /** Its tokenizer. */
    readonly tokenizer: Tokenizer,
  ) {}

  /**
   * Opens a model's directory, or the newest checkpoint in a training run's.
   * @param device default `auto`; one that is opened here is closed with the model
   * @throws ForetokenError FILE_ACCESS, CORRUPT_FILE naming the tensor, INVALID_CONFIG naming the field
   */
  static async load(directory: string, device: Device | DeviceName = 'auto'): Promise<LanguageModel> {
    const opened = typeof device === 'string' ? openDevice(device) : null;
    try {
      const { model, tokenizer } = await loadModel(opened ?? (device as Device), await findModel(directory));
      const loaded = new LanguageModel(model, tokenizer);
      loaded.#ownDevice = opened;
      return loaded;
    } catch (error) {
      opened?.dispose();
      throw error;
    }
  }

  /** Continues a prompt, piece by piece; see {@link generate}. */
  generate(prompt: string | ArrayLike<number>, options: GenerateOptions = {}): Generation {
    return generate(this.model, this.tokenizer, prompt, options);
  }

  /** Frees the model, and the device when `load` opened it. */
  dispose(): void {
    this.model.dispose();
    this.#ownDevice?.dispose();
  }

  /** What `using` calls: {@link dispose}. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
