import type { MtpModel } from '../model/model';
import type { Tokenizer } from '../model/tokenizer';
import { generate, type Generation } from './generate';
import type { GenerateOptions } from './options';

/** A model with its tokenizer: text in, text out. */
export class LanguageModel implements Disposable {
  constructor(
    readonly model: MtpModel,
    readonly tokenizer: Tokenizer,
  ) {}

  /** Continues a prompt, piece by piece; see {@link generate}. */
  generate(prompt: string | ArrayLike<number>, options: GenerateOptions = {}): Generation {
    return generate(this.model, this.tokenizer, prompt, options);
  }

  [Symbol.dispose](): void {
    this.model.dispose();
  }
}
