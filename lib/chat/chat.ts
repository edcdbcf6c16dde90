import {
  arrayOf,
  boolean,
  check,
  checker,
  checkOptions,
  dictionary,
  shaped,
  string,
  type Checker,
  type Schema,
} from '../check';
import { ForetokenError } from '../errors';
import { isJsonObject } from '../files';
import { joinIds, TOKENIZER, type Tokenizer } from '../model/tokenizer';
import { stripText } from './strings';
import { hasUsualTemplate, renderTemplate } from './template';

/** A message of a conversation. Templates read further fields, as `tool_calls` or `reasoning_content`. */
export interface ChatMessage {
  /** Who says it: `system`, `user`, `assistant`, `tool`, or another role that the template knows. */
  readonly role: string;
  /** The text, or a list of parts as `{ type: 'text', text }` for templates that read those. */
  readonly content?: unknown;
  readonly [field: string]: unknown;
}

/** Options of {@link applyChatTemplate}, named as in Hugging Face's transformers. */
export interface ChatTemplateOptions {
  /** Descriptions of functions that the model may call, as JSON schemas in the form that the template expects. */
  tools?: readonly object[];
  /** Documents for templates that answer from them. */
  documents?: readonly object[];
  /** A template, or the name of one of the model's. Default: the model's own; `tool_use` if it has one and tools are given. */
  chatTemplate?: string;
  /** Ends with the beginning of an answer of the assistant. Default: true unless `continueFinalMessage` is. */
  addGenerationPrompt?: boolean;
  /** Ends within the last message, which the answer continues. Default false. */
  continueFinalMessage?: boolean;
  /** Further variables of the template, as `{ enable_thinking: false }`. */
  templateVariables?: Readonly<Record<string, unknown>>;
}

const jsonObject: Checker<object> = checker('an object', isJsonObject);

const MESSAGES: Checker<readonly ChatMessage[]> = arrayOf(
  shaped<ChatMessage>('a message with a role', { role: 'string' }),
);

/** The checkers of the options. */
export const CHAT_TEMPLATE_OPTIONS: Schema<ChatTemplateOptions> = {
  tools: arrayOf(jsonObject),
  documents: arrayOf(jsonObject),
  chatTemplate: string,
  addGenerationPrompt: boolean,
  continueFinalMessage: boolean,
  templateVariables: dictionary,
};

/**
 * Writes a conversation as the text that a model was trained on, by the chat template among the tokenizer's files.
 * @throws INVALID_ARGUMENT naming the option, if the model has no template, or if the template refuses the messages;
 * INVALID_CONFIG if the template is malformed
 * @example
 * ```ts
 * import { applyChatTemplate, loadTokenizer } from 'foretoken';
 *
 * const tokenizer = await loadTokenizer('models/chat');
 * const text = applyChatTemplate(tokenizer, [{ role: 'user', content: 'Hello!' }]);
 * console.log(text, tokenizer.encode(text, { addSpecialTokens: false }).length);
 * ```
 */
export function applyChatTemplate(
  tokenizer: Tokenizer,
  messages: readonly ChatMessage[],
  options: ChatTemplateOptions = {},
): string {
  const where = 'applyChatTemplate';
  check(`${where}: tokenizer`, tokenizer, TOKENIZER);
  return render(where, tokenizer, messages, checkOptions(where, options, CHAT_TEMPLATE_OPTIONS));
}

/** Whether a model has a chat template that is used if none is chosen. */
export function hasChatTemplate({ files }: Tokenizer): boolean {
  return hasUsualTemplate(files);
}

/**
 * Converts a conversation to token ids. The token that begins a text comes first, once, if the tokenizer puts it before every text or
 * the template writes it.
 * @param where the function's name for messages
 */
export function encodeChat(
  where: string,
  tokenizer: Tokenizer,
  messages: readonly ChatMessage[],
  options: ChatTemplateOptions,
): Int32Array {
  const ids = tokenizer.encode(render(where, tokenizer, messages, options), { addSpecialTokens: false });
  const { bosId } = tokenizer;
  const lacksBos = bosId !== undefined && ids[0] !== bosId && tokenizer.encode('')[0] === bosId;
  return lacksBos ? joinIds([[bosId], ids]) : ids;
}

function render(
  where: string,
  { files }: Tokenizer,
  messages: readonly ChatMessage[],
  options: ChatTemplateOptions,
): string {
  check(`${where}: tokenizer.files`, files, jsonObject);
  const given = check(`${where}: messages`, messages, MESSAGES);
  const { tools, documents, chatTemplate, continueFinalMessage = false, templateVariables } = options;
  const { addGenerationPrompt = !continueFinalMessage } = options;
  if (addGenerationPrompt && continueFinalMessage) {
    throw new ForetokenError(
      'INVALID_ARGUMENT',
      `${where}: continueFinalMessage is true, but addGenerationPrompt begins another message`,
    );
  }
  const variables = {
    messages: given,
    // Templates ask whether they are none.
    tools: tools ?? null,
    documents: documents ?? null,
    add_generation_prompt: addGenerationPrompt,
    ...templateVariables,
  };
  const text = renderTemplate(where, files, chatTemplate, variables);
  return continueFinalMessage ? upToFinalMessage(where, text, given) : text;
}

/** Removes what a template writes behind the last message, as transformers does: templates may strip the message. */
function upToFinalMessage(where: string, text: string, messages: readonly ChatMessage[]): string {
  const content = textOf(messages.at(-1)?.content);
  const core = content === undefined ? '' : stripText(content, null);
  const at = text.lastIndexOf(core);
  if (content === undefined || at < 0) {
    const problem = 'continueFinalMessage needs a last message whose text the chat template writes';
    throw new ForetokenError('INVALID_ARGUMENT', `${where}: ${problem}`);
  }
  const spaced = stripText(content, null, { right: false });
  return text.slice(0, at + (text.startsWith(spaced, at) ? spaced.length : core.length));
}

/** Returns the text of a message's content: itself, or its last part of text. */
function textOf(content: unknown): string | undefined {
  const parts: unknown[] = Array.isArray(content) ? content : [{ text: content }];
  const texts = parts.map((part) => (isJsonObject(part) ? part.text : undefined));
  return texts.findLast((text) => typeof text === 'string');
}
