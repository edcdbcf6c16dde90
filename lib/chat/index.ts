export {
  applyChatTemplate,
  CHAT_TEMPLATE_OPTIONS,
  hasChatTemplate,
  encodeChat,
  type ChatMessage,
  type ChatTemplateOptions,
} from './chat';
