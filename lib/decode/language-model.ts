import type { ChatMessage } from '../chat';
import { check, checker, checkOptions, either, instance, isFit, path, type Schema } from '../check';
import { locateModel } from '../hub/locate';
import { findModel } from '../model/checkpoint';
import { loadModel } from '../model/load';
import { MtpModel } from '../model/model';
import { TOKENIZER, type Tokenizer } from '../model/tokenizer';
import type { WeightDType } from '../tensor/types';
import { device, weightDType } from '../tensor/checks';
import { openDevice, type Device } from '../tensor/device';
import { deviceName, type DeviceName } from '../tensor/device-options';
import { prepareChat, type ChatOptions } from './chat';
import { generationOf, prepare, type Generation, type Prompt } from './generate';
import { generateAll, type GeneratedText, type GenerateRequest } from './generate-many';
import type { GenerateOptions } from './options';
import { Scheduler } from './scheduler';
import { usesHeads, type TextRequest } from './text';

/** Most texts in one forward pass; others wait for a free place. */
const SLOTS = 64;

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

const ITERABLE = checker<Iterable<unknown>>(
  'an array of requests, or another iterable or async iterable',
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    (Symbol.iterator in value || Symbol.asyncIterator in value),
);

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
  /** Texts that heads draft for share one engine, all others another one, which keeps nothing for heads. */
  readonly #drafting: Scheduler;
  readonly #plain: Scheduler;

  constructor(
    /** The model, disposed together with this object. */
    readonly model: MtpModel,
    /** Its tokenizer. */
    readonly tokenizer: Tokenizer,
  ) {
    check('LanguageModel: model', model, instance(MtpModel));
    check('LanguageModel: tokenizer', tokenizer, TOKENIZER);
    this.#drafting = new Scheduler(model, { slots: SLOTS, draftDepth: model.numHeads - 1 });
    this.#plain = new Scheduler(model, { slots: SLOTS, draftDepth: 0 });
  }

  /**
   * Opens a model: its directory, a GGUF file, the newest checkpoint in the directory of a training run, or `owner/name` of the Hugging
   * Face Hub in the cache, as {@link loadModel} does.
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
        await findModel(await locateModel(directory)),
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
   * Continues a prompt, piece by piece; see {@link generate}. Texts that are iterated at the same time share forward passes, up to
   * 64 of them; each has the tokens that it would have alone. Memory and captured steps are kept for later texts.
   */
  generate(prompt: Prompt, options: GenerateOptions = {}): Generation {
    return this.#generation(prepare('generate', this.model, this.tokenizer, prompt, options));
  }

  /**
   * Answers the last message of a conversation, piece by piece, by the model's chat template; see {@link applyChatTemplate}. Any of
   * the model's end tokens ends the answer.
   * @throws ForetokenError INVALID_ARGUMENT naming the option, or if the model has no chat template or it refuses the messages
   * @example
   * ```ts
   * import { LanguageModel, type ChatMessage } from 'foretoken';
   *
   * using model = await LanguageModel.load('models/chat', { device: 'cpu' });
   * const messages: ChatMessage[] = [{ role: 'user', content: 'Why is the sky blue?' }];
   * for await (const { text } of model.chat(messages, { maxTokens: 500 })) process.stdout.write(text);
   * ```
   */
  chat(messages: readonly ChatMessage[], options: ChatOptions = {}): Generation {
    return this.#generation(prepareChat('chat', this.model, this.tokenizer, messages, options));
  }

  #generation(request: TextRequest): Generation {
    const scheduler = usesHeads(request) ? this.#drafting : this.#plain;
    return generationOf(request, () => ({ scheduler, end: () => undefined }));
  }

  /**
   * Continues many prompts side by side and yields each text when it has ended. A request that fails gives a text with an `error`;
   * the others go on. No more than 64 requests are taken from `requests` before their texts are consumed.
   * @param options for requests without options of their own
   * @throws what iterating `requests` throws
   * @example
   * ```ts
   * import { LanguageModel } from 'foretoken';
   *
   * using model = await LanguageModel.load('models/first', { device: 'cpu' });
   * const prompts = ['Once upon a time', 'The king', { prompt: 'A dog', temperature: 0.7, seed: 1 }];
   * for await (const { index, text } of model.generateMany(prompts, { maxTokens: 100 })) console.log(index, text);
   * ```
   */
  generateMany(
    requests: Iterable<GenerateRequest> | AsyncIterable<GenerateRequest>,
    options: GenerateOptions = {},
  ): AsyncIterable<GeneratedText> {
    check('generateMany: requests', requests, ITERABLE);
    const start = (request: GenerateRequest): Generation => {
      if (typeof request === 'string' || 'length' in request) return this.generate(request, options);
      const { prompt, ...own } = request;
      return this.generate(prompt, { ...options, ...own });
    };
    return generateAll(requests, start, SLOTS);
  }

  /** Frees the model, and the device if `load` opened it. */
  dispose(): void {
    this.#drafting.dispose();
    this.#plain.dispose();
    this.model.dispose();
    this.#ownDevice?.dispose();
  }

  /** Calls {@link dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
