export {
  applyChatTemplate,
  CHAT_TEMPLATE_OPTIONS,
  encodeChat,
  type ChatMessage,
  type ChatTemplateOptions,
} from './chat';
