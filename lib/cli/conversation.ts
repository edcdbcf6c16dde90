import type { ChatMessage } from '../chat';
import type { ChatOptions } from '../decode/chat';
import type { GenerateStats } from '../decode/generate-stats';
import type { LanguageModel } from '../decode/language-model';
import type { GeneratedPiece } from '../decode/output-limiter';
import type { TextStream } from '../terminal';
import { showGeneration } from './show-generation';

/** The messages of a person and a model's answers. */
export class Conversation {
  #messages: readonly ChatMessage[] = [];
  #stats: GenerateStats | null = null;

  constructor(
    private readonly model: Pick<LanguageModel, 'chat'>,
    private readonly options: ChatOptions,
    private readonly system?: string,
  ) {
    this.reset();
  }

  /** Statistics of the last answer; null before the first. */
  get stats(): GenerateStats | null {
    return this.#stats;
  }

  /** Forgets all messages except the system message. */
  reset(): void {
    this.#messages = this.system === undefined ? [] : [{ role: 'system', content: this.system }];
  }

  /**
   * Writes the answer to a message. An answer that the signal ends stays a part of the conversation; a message without any answer
   * does not.
   * @throws ForetokenError if the message cannot be answered
   */
  async answer(content: string, out: TextStream, signal: AbortSignal): Promise<void> {
    const messages = [...this.#messages, { role: 'user', content }];
    const generation = this.model.chat(messages, { ...this.options, signal });
    let said = '';
    const heard = async function* (): AsyncGenerator<GeneratedPiece, void, undefined> {
      for await (const piece of generation) {
        said += piece.text;
        yield piece;
      }
    };
    try {
      await showGeneration(heard(), out);
    } catch (error) {
      if (!signal.aborted || error !== signal.reason) throw error;
    } finally {
      this.#stats = generation.stats;
      if (said !== '') this.#messages = [...messages, { role: 'assistant', content: said }];
    }
  }
}
