import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { applyChatTemplate, encodeChat, type ChatMessage } from '../../lib/chat';
import { Jinja } from '../../lib/chat/jinja';
import { formatDate } from '../../lib/chat/strings';
import { byteTokenizerFiles, createTokenizer, type Tokenizer } from '../../lib/model/tokenizer';
import { foretokenError } from '../support/errors';
import { byteFallback } from '../model/tokenizer/examples';

interface Recorded {
  readonly variables: Record<string, unknown>;
  readonly texts: [template: string, text: string][];
}

const { variables, texts } = JSON.parse(
  readFileSync(join(__dirname, '../fixtures/chat-templates.json'), 'utf8'),
) as Recorded;

it.each(texts)('a template is rendered as in Python: %s', (template, text) => {
  expect(new Jinja(template).render(variables)).toBe(text);
});

it.each([
  "{{ ' a ' | toString }}",
  "{{ ' a ' | constructor }}",
  "{{ ' a '.toString() }}",
  "{{ ' a '.constructor() }}",
])("a name of JavaScript's objects means nothing in a template: %s", (template) => {
  expect(() => new Jinja(template).render({})).toThrow();
});

it('dates are written as in Python', () => {
  const date = new Date(2026, 2, 5, 13, 7, 9);
  expect(formatDate(date, '%d %b %Y, %B %-d, %A %a %y-%m %H:%M:%S %I %p %j %e %% %Q')).toBe(
    '05 Mar 2026, March 5, Thursday Thu 26-03 13:07:09 01 PM 064  5 % %Q',
  );
  expect(new Jinja("{{ strftime_now('%Y') }}").render({})).toMatch(/^\d{4}$/);
});

const SIMPLE =
  '{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}</{{ m.role }}>{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}';

const withTemplate = (chatTemplate: unknown, more: Record<string, string> = {}): Tokenizer =>
  createTokenizer({
    ...byteTokenizerFiles(),
    'tokenizer_config.json': JSON.stringify({ bos_token: '<|endoftext|>', chat_template: chatTemplate }),
    ...more,
  });

const user: ChatMessage = { role: 'user', content: 'Hi' };
const assistant: ChatMessage = { role: 'assistant', content: ' So \n' };

describe('applyChatTemplate', () => {
  it('renders messages and begins an answer, unless told not to', () => {
    const tokenizer = withTemplate(SIMPLE);
    expect(applyChatTemplate(tokenizer, [user])).toBe('<|endoftext|><user>Hi</user><assistant>');
    expect(applyChatTemplate(tokenizer, [user], { addGenerationPrompt: false })).toBe(
      '<|endoftext|><user>Hi</user>',
    );
  });

  it('ends within the last message to continue it, with its spaces if the template keeps them', () => {
    const options = { continueFinalMessage: true };
    expect(applyChatTemplate(withTemplate(SIMPLE), [user, assistant], options)).toBe(
      '<|endoftext|><user>Hi</user><assistant>So',
    );
    const keeping = withTemplate('{% for m in messages %}[{{ m.content }}]{% endfor %}');
    expect(applyChatTemplate(keeping, [user, assistant], options)).toBe('[Hi][ So \n');
    expect(() => applyChatTemplate(keeping, [user, { role: 'assistant' }], options)).toThrow(
      foretokenError('INVALID_ARGUMENT', 'applyChatTemplate: continueFinalMessage needs a last message'),
    );
    expect(() => applyChatTemplate(keeping, [user], { ...options, addGenerationPrompt: true })).toThrow(
      foretokenError('INVALID_ARGUMENT', 'continueFinalMessage is true, but addGenerationPrompt'),
    );
  });

  it('passes tools, documents and variables', () => {
    const tokenizer = withTemplate('{{ tools | tojson }} {{ documents | tojson }} {{ enable_thinking }}');
    const options = { tools: [{ name: 'f' }], templateVariables: { enable_thinking: false } };
    expect(applyChatTemplate(tokenizer, [user], options)).toBe('[{"name": "f"}] null False');
  });

  it('finds the template in any of the files, and by name', () => {
    const named = [
      { name: 'default', template: 'usual' },
      { name: 'tool_use', template: 'tools' },
      { name: 'rag', template: 'rag' },
    ];
    const tokenizer = withTemplate(named);
    expect(applyChatTemplate(tokenizer, [user])).toBe('usual');
    expect(applyChatTemplate(tokenizer, [user], { tools: [{}] })).toBe('tools');
    expect(applyChatTemplate(tokenizer, [user], { chatTemplate: 'rag' })).toBe('rag');
    expect(applyChatTemplate(tokenizer, [user], { chatTemplate: '{{ messages[0].content }}' })).toBe('Hi');
    const jinja = { 'chat_template.jinja': 'of a file' };
    expect(applyChatTemplate(withTemplate('of the config', jinja), [user])).toBe('of a file');
    const json = { 'chat_template.json': '{"chat_template": "of JSON"}' };
    expect(applyChatTemplate(withTemplate(undefined, json), [user])).toBe('of JSON');
  });

  it('says which templates there are if none is the usual one', () => {
    expect(() => applyChatTemplate(withTemplate([{ name: 'rag', template: 'x' }]), [user])).toThrow(
      foretokenError('INVALID_ARGUMENT', 'the model has no chat template; choose one by chatTemplate: rag'),
    );
    expect(() => applyChatTemplate(withTemplate(undefined), [user])).toThrow(
      foretokenError('INVALID_ARGUMENT', 'applyChatTemplate: the model has no chat template; give one'),
    );
  });

  it('refuses malformed templates and messages, and says what the template says', () => {
    expect(() => applyChatTemplate(withTemplate('{% if %}'), [user])).toThrow(
      foretokenError('INVALID_CONFIG', 'applyChatTemplate: the chat template is malformed'),
    );
    const cut = { 'chat_template.json': '{"chat_template": ' };
    expect(() => applyChatTemplate(withTemplate(SIMPLE, cut), [user])).toThrow(
      foretokenError('INVALID_CONFIG', 'chat_template.json: not JSON'),
    );
    expect(() => applyChatTemplate(withTemplate("{{ raise_exception('No users!') }}"), [user])).toThrow(
      foretokenError(
        'INVALID_ARGUMENT',
        'applyChatTemplate: the chat template refuses the messages: No users!',
      ),
    );
    expect(() => applyChatTemplate(withTemplate('{{ messages + 1 }}'), [user])).toThrow(
      foretokenError('INVALID_ARGUMENT', 'the chat template cannot be rendered'),
    );
    expect(() =>
      applyChatTemplate(withTemplate(SIMPLE), [{ content: 'x' } as unknown as ChatMessage]),
    ).toThrow(
      foretokenError('INVALID_ARGUMENT', 'applyChatTemplate: messages[0] must be a message with a role'),
    );
    expect(() => applyChatTemplate(withTemplate(SIMPLE), [user], { tool: [] } as object)).toThrow(
      foretokenError('INVALID_ARGUMENT', 'has no option tool', 'do you mean tools?'),
    );
  });
});

describe('the token that begins a text comes once', () => {
  const encoded = (chatTemplate: string, config: object): number[] => {
    const tokenizer = createTokenizer({
      'tokenizer.json': JSON.stringify({ ...byteFallback(), post_processor: null }),
      'tokenizer_config.json': JSON.stringify({ bos_token: '<s>', chat_template: chatTemplate, ...config }),
    });
    return [...encodeChat('test', tokenizer, [user], {})].slice(0, 2);
  };

  it.each([
    ['written by the template', '{{ bos_token }}a', { add_bos_token: true }, [1, 262]],
    ['added by the tokenizer', 'a', { add_bos_token: true }, [1, 262]],
    ['neither', 'a', { add_bos_token: false }, [262]],
    ['written though the tokenizer adds none', '{{ bos_token }}a', { add_bos_token: false }, [1, 262]],
  ])('%s', (_, template, config, ids) => {
    expect(encoded(template, config)).toEqual(ids);
  });

  it('before a text of any length', () => {
    expect(encoded('a b '.repeat(200_000), { add_bos_token: true })).toEqual([1, 262]);
  });
});
