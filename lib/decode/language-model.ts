import { check, checkOptions, either, instance, isFit, path, type Schema } from '../check';
import { findModel, loadModel } from '../model/checkpoint';
import { MtpModel } from '../model/model';
import { TOKENIZER, type Tokenizer } from '../model/tokenizer';
import type { WeightDType } from '../tensor/types';
import { device, weightDType } from '../tensor/checks';
import { openDevice, type Device } from '../tensor/device';
import { deviceName, type DeviceName } from '../tensor/device-options';
import { generateWith, type Generation } from './generate';
import { DecoderCache } from './decoder-cache';
import type { GenerateOptions } from './options';

/** Device and type for {@link LanguageModel.load}. */
export interface LoadOptions {
  /** Default `auto`. A device that `load` opens is closed together with the model. */
  device?: Device | DeviceName;
  /**
   * Type of the weights; default float32. Weights in bfloat16 or int8 cannot be trained. With bfloat16, activations are bfloat16
   * if the device computes in it, else float32 that is rounded before each product. With int8, on the CPU, matrices take a
   * quarter of their size in float32, and activations are converted to int8 before each product. In every type, the text is
   * the same with any speculation.
   */
  dtype?: WeightDType;
}

const LOAD_OPTIONS: Schema<LoadOptions> = {
  device: either<[Device, DeviceName]>(device, deviceName),
  dtype: weightDType,
};

/**
 * A model with its tokenizer: text in, text out.
 * @example
 * ```ts
 * import { LanguageModel } from 'foretoken';
 *
 * using model = await LanguageModel.load('models/first', { device: 'cpu' });
 * const generation = model.generate('Once upon a time', { temperature: 0.7, seed: 1, maxTokens: 100 });
 * for await (const { text } of generation) process.stdout.write(text);
 * console.log(generation.stats.tokensPerStep);
 * ```
 */
export class LanguageModel implements Disposable {
  #ownDevice: Device | null = null;
  readonly #decoders = new DecoderCache();

  constructor(
    /** The model, disposed together with this object. */
    readonly model: MtpModel,
    /** Its tokenizer. */
    readonly tokenizer: Tokenizer,
  ) {
    check('LanguageModel: model', model, instance(MtpModel));
    check('LanguageModel: tokenizer', tokenizer, TOKENIZER);
  }

  /**
   * Opens a model's directory, or the newest checkpoint in the directory of a training run.
   * @param options or only a device
   * @throws ForetokenError INVALID_ARGUMENT naming the option; FILE_ACCESS, CORRUPT_FILE naming the tensor, INVALID_CONFIG naming
   * the field
   */
  static async load(
    directory: string,
    options: LoadOptions | Device | DeviceName = {},
  ): Promise<LanguageModel> {
    const where = 'LanguageModel.load';
    check(`${where}: directory`, directory, path);
    const all = typeof options === 'string' || isFit(options, device) ? { device: options } : options;
    const { device: on = 'auto', dtype } = checkOptions(where, all, LOAD_OPTIONS);
    const opened = typeof on === 'string' ? openDevice(on) : null;
    try {
      const init = { dtype, masters: false };
      const { model, tokenizer } = await loadModel(
        opened ?? (on as Device),
        await findModel(directory),
        init,
      );
      const loaded = new LanguageModel(model, tokenizer);
      loaded.#ownDevice = opened;
      return loaded;
    } catch (error) {
      opened?.dispose();
      throw error;
    }
  }

  /**
   * Continues a prompt, piece by piece; see {@link generate}. Memory and captured steps of the last text are kept for the next
   * text with the same options.
   */
  generate(prompt: string | ArrayLike<number>, options: GenerateOptions = {}): Generation {
    return generateWith(this.#decoders, this.model, this.tokenizer, prompt, options);
  }

  /** Frees the model, and the device if `load` opened it. */
  dispose(): void {
    this.#decoders.dispose();
    this.model.dispose();
    this.#ownDevice?.dispose();
  }

  /** Calls {@link dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
