import type { Generation, Prompt } from './generate';
import type { GenerateStats } from './generate-stats';
import type { GenerateOptions } from './options';

/** A text that {@link LanguageModel.generateMany} has finished. */
export interface GeneratedText {
  /** Number of its request, from 0. */
  readonly index: number;
  /** The text; if it ended with an error, the part before it. */
  readonly text: string;
  /** Its token ids. */
  readonly tokens: number[];
  /** Null if the request was refused. */
  readonly stats: GenerateStats | null;
  /** The error that ended this text alone, such as a bad option or its signal's reason; null if there is none. */
  readonly error: unknown;
}

/** A prompt, or a prompt with options of its own, which replace those for all texts. */
export type GenerateRequest = string | readonly number[] | PromptWithOptions;

/** A prompt with options of its own. */
export interface PromptWithOptions extends GenerateOptions {
  /** The text to continue, or its token ids. */
  readonly prompt: Prompt;
}

/**
 * Generates a text for every request, at most `atOnce` at a time, and yields texts as they end.
 * @param start begins the text of a request; what it throws becomes the error of that text
 */
export async function* generateAll(
  requests: Iterable<GenerateRequest> | AsyncIterable<GenerateRequest>,
  start: (request: GenerateRequest) => Generation,
  atOnce: number,
): AsyncGenerator<GeneratedText, void, undefined> {
  const running = new Map<number, Promise<GeneratedText>>();
  let isStopped = false;
  const isAbandoned = (): boolean => isStopped;
  const finishOne = async (): Promise<GeneratedText> => {
    const text = await Promise.race(running.values());
    running.delete(text.index);
    return text;
  };
  try {
    let index = 0;
    for await (const request of requests) {
      running.set(index, collect(index, request, start, isAbandoned));
      index++;
      if (running.size >= atOnce) yield await finishOne();
    }
    while (running.size > 0) yield await finishOne();
  } finally {
    // The consumer may want no more texts while some are still under way.
    isStopped = true;
    await Promise.all(running.values());
  }
}

async function collect(
  index: number,
  request: GenerateRequest,
  start: (request: GenerateRequest) => Generation,
  isAbandoned: () => boolean,
): Promise<GeneratedText> {
  const tokens: number[] = [];
  let text = '';
  let generation: Generation | null = null;
  const result = (error: unknown): GeneratedText => ({
    ...{ index, text, tokens, error },
    stats: generation?.stats ?? null,
  });
  try {
    generation = start(request);
    for await (const piece of generation) {
      text += piece.text;
      tokens.push(...piece.tokens);
      if (isAbandoned()) break;
    }
    return result(null);
  } catch (error) {
    return result(error);
  }
}
