import { check, checker, checkOptions } from '../check';
import { CHAT_TEMPLATE_OPTIONS, encodeChat, type ChatMessage, type ChatTemplateOptions } from '../chat';
import { isJsonObject } from '../files';
import type { MtpModel } from '../model/model';
import type { Tokenizer } from '../model/tokenizer';
import { prepare } from './generate';
import type { GenerateOptions } from './options';
import type { TextRequest } from './text';

/** Options of an answer: those of generating and those of the chat template. */
export interface ChatOptions extends GenerateOptions, ChatTemplateOptions {}

const OPTIONS = checker<ChatOptions>('an object', isJsonObject);

/**
 * Checks all arguments and writes the conversation as a prompt.
 * @param where the function's name for messages
 */
export function prepareChat(
  where: string,
  model: MtpModel,
  tokenizer: Tokenizer,
  messages: readonly ChatMessage[],
  options: ChatOptions,
): TextRequest {
  const given = Object.entries(check(`${where}: options`, options, OPTIONS));
  const isTemplates = ([name]: [string, unknown]): boolean => Object.hasOwn(CHAT_TEMPLATE_OPTIONS, name);
  const template = checkOptions<ChatTemplateOptions>(
    where,
    Object.fromEntries(given.filter(isTemplates)),
    CHAT_TEMPLATE_OPTIONS,
  );
  const generating = Object.fromEntries(given.filter((option) => !isTemplates(option)));
  const ids = encodeChat(where, tokenizer, messages, template);
  const request = prepare(where, model, tokenizer, ids, generating);
  // An answer is a text by itself, which begins without the space that separates it from the prompt.
  return template.continueFinalMessage ? request : { ...request, after: [] };
}
