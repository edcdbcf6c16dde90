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

/** Where {@link LanguageModel.load} puts a model, and in what type. */
export interface LoadOptions {
  /** Default `auto`; one that is opened here is closed with the model. */
  device?: Device | DeviceName;
  /**
   * Default float32. With bfloat16 weights are kept in bfloat16 alone, so the model cannot be trained; activations are bfloat16 where
   * the device computes in it, else float32, rounded where they meet a matrix. With int8, on the CPU, matrices take a quarter of what
   * they take in float32, and activations are brought to int8 where they meet one. Text is the same with any speculation in every type.
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
    /** The model, disposed together with this. */
    readonly model: MtpModel,
    /** Its tokenizer. */
    readonly tokenizer: Tokenizer,
  ) {
    check('LanguageModel: model', model, instance(MtpModel));
    check('LanguageModel: tokenizer', tokenizer, TOKENIZER);
  }

  /**
   * Opens a model's directory, or the newest checkpoint in a training run's.
   * @param options a device alone may be given instead
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
   * Continues a prompt, piece by piece; see {@link generate}. What a text needs on the device is kept for the next one with the
   * same options, until that is another or the model is disposed.
   */
  generate(prompt: string | ArrayLike<number>, options: GenerateOptions = {}): Generation {
    return generateWith(this.#decoders, this.model, this.tokenizer, prompt, options);
  }

  /** Frees the model, and the device when `load` opened it. */
  dispose(): void {
    this.#decoders.dispose();
    this.model.dispose();
    this.#ownDevice?.dispose();
  }

  /** What `using` calls: {@link dispose}. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
