import { ForetokenError } from '../errors';
import { isJsonObject } from '../files';
import { parseJson } from '../json';
import type { TokenizerFiles } from '../model/tokenizer';
import { Jinja, RaisedByTemplate } from './jinja';

/** The template that is meant if several have names. */
const DEFAULT = 'default';
/** The template for messages with tools, if several have names. */
const TOOL_USE = 'tool_use';

/**
 * Reads the fields of a file, which has none if it is missing.
 * @throws INVALID_CONFIG naming the file
 */
function fieldsOf(files: TokenizerFiles, name: string): Readonly<Record<string, unknown>> {
  const text = files[name];
  if (text === undefined) return {};
  try {
    const json = parseJson(text);
    return isJsonObject(json) ? json : {};
  } catch (cause) {
    throw new ForetokenError('INVALID_CONFIG', `${name}: not JSON: ${reasonOf(cause)}`, { cause });
  }
}

/** Finds the chat templates among a tokenizer's files, by name: a single one is called `default`. */
function templatesOf(files: TokenizerFiles): ReadonlyMap<string, string> {
  const { 'chat_template.jinja': jinja } = files;
  if (jinja !== undefined) return new Map([[DEFAULT, jinja]]);
  for (const name of ['chat_template.json', 'tokenizer_config.json']) {
    const { chat_template: given } = fieldsOf(files, name);
    if (typeof given === 'string') return new Map([[DEFAULT, given]]);
    const named = Array.isArray(given) ? given : isJsonObject(given) ? Object.entries(given).map(entry) : [];
    const templates = named.filter(isNamed).map(({ name, template }) => [name, template] as const);
    if (templates.length > 0) return new Map(templates);
  }
  return new Map();
}

interface Named {
  readonly name: string;
  readonly template: string;
}

const entry = ([name, template]: [string, unknown]): unknown => ({ name, template });

function isNamed(value: unknown): value is Named {
  return isJsonObject(value) && typeof value.name === 'string' && typeof value.template === 'string';
}

/** Whether there is a template that is used if none is chosen. */
export function hasUsualTemplate(files: TokenizerFiles): boolean {
  return templatesOf(files).has(DEFAULT);
}

/**
 * Chooses a chat template.
 * @param chosen a template, or the name of one of the tokenizer's
 * @throws INVALID_ARGUMENT if there is none
 */
function choose(where: string, files: TokenizerFiles, chosen: string | undefined, hasTools: boolean): string {
  const templates = templatesOf(files);
  if (chosen !== undefined) return templates.get(chosen) ?? chosen;
  const usual = (hasTools ? templates.get(TOOL_USE) : undefined) ?? templates.get(DEFAULT);
  if (usual !== undefined) return usual;
  const names = [...templates.keys()];
  const advice =
    names.length > 0 ? `choose one by chatTemplate: ${names.join(', ')}` : 'give one as chatTemplate';
  throw new ForetokenError('INVALID_ARGUMENT', `${where}: the model has no chat template; ${advice}`);
}

/** Compiled templates: a chat uses one again for every message. */
const compiled = new Map<string, Jinja>();
const MOST_COMPILED = 16;

function compile(where: string, source: string): Jinja {
  let template = compiled.get(source);
  if (!template) {
    try {
      template = new Jinja(source);
    } catch (cause) {
      throw new ForetokenError(
        'INVALID_CONFIG',
        `${where}: the chat template is malformed: ${reasonOf(cause)}`,
        { cause },
      );
    }
    if (compiled.size === MOST_COMPILED) compiled.clear();
    compiled.set(source, template);
  }
  return template;
}

/**
 * Renders messages with a chat template.
 * @param chosen a template, or the name of one of the tokenizer's; undefined for the usual one
 * @throws INVALID_ARGUMENT if there is no template, or it does not accept the variables; INVALID_CONFIG if it is malformed
 */
export function renderTemplate(
  where: string,
  files: TokenizerFiles,
  chosen: string | undefined,
  variables: Readonly<Record<string, unknown>>,
): string {
  const template = compile(where, choose(where, files, chosen, Array.isArray(variables.tools)));
  try {
    return template.render({ ...specialTokens(files), ...variables });
  } catch (cause) {
    const problem = cause instanceof RaisedByTemplate ? 'refuses the messages' : 'cannot be rendered';
    throw new ForetokenError(
      'INVALID_ARGUMENT',
      `${where}: the chat template ${problem}: ${reasonOf(cause)}`,
      { cause },
    );
  }
}

function reasonOf(cause: unknown): string {
  return (cause instanceof Error ? cause.message : String(cause)).replace(/\.$/, '');
}

/** Collects the texts of special tokens, as `bos_token`. The tokenizer_config.json counts more than the special_tokens_map.json. */
function specialTokens(files: TokenizerFiles): Record<string, string> {
  const tokens: Record<string, string> = {};
  for (const name of ['special_tokens_map.json', 'tokenizer_config.json']) {
    for (const [key, value] of Object.entries(fieldsOf(files, name))) {
      const content = isJsonObject(value) ? value.content : value;
      if (/^\w+_token$/.test(key) && typeof content === 'string') tokens[key] = content;
    }
  }
  return tokens;
}
