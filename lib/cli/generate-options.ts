import type { GenerateOptions, Speculation } from '../decode/options';
import { parseNumber, UsageError } from './arguments';
import type { Values } from './flags';
import type { GENERATION_FLAGS } from './generate-flags';

/** Converts the flags of commands that generate text to options of the library. */
export function generateOptions(
  values: Values<typeof GENERATION_FLAGS> & { readonly 'max-tokens'?: number },
): GenerateOptions {
  return {
    maxTokens: values['max-tokens'],
    stop: values.stop?.map(parseStop),
    ignoreEos: values['ignore-eos'],
    temperature: values.temperature,
    topK: values['top-k'],
    topP: values['top-p'],
    minP: values['min-p'],
    seed: values.seed,
    repetitionPenalty: values['repetition-penalty'],
    frequencyPenalty: values['frequency-penalty'],
    presencePenalty: values['presence-penalty'],
    logitBias: parseLogitBias(values['logit-bias'] ?? []),
    speculation: values.speculation === undefined ? undefined : parseSpeculation(values.speculation),
  };
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', '\\': '\\' };

/** Parses a stop string: escapes stand for line feeds and tabs, which are hard to type in a shell. */
export function parseStop(given: string): string {
  return given.replace(/\\(.?)/gs, (escape, letter: string) => {
    if (Object.hasOwn(ESCAPES, letter)) return ESCAPES[letter]!;
    const advice = 'use \\n, \\t or \\r, and \\\\ for a backslash';
    throw new UsageError(`--stop has ${escape}, which is no escape; ${advice}`);
  });
}

/** Parses `65=-2.5` or `65=-Infinity`, each token once. */
export function parseLogitBias(given: readonly string[]): Map<number, number> {
  const biases = new Map<number, number>();
  for (const text of given) {
    const [, id = '', value = ''] = /^([^=]*)=([^=]*)$/.exec(text) ?? [];
    const token = parseNumber(id);
    const bias = value === '-Infinity' ? -Infinity : parseNumber(value);
    if (token === undefined || bias === undefined) {
      throw new UsageError(`--logit-bias must be like 65=-2.5 or 65=-Infinity, but is '${text}'`);
    }
    if (biases.has(token)) throw new UsageError(`--logit-bias is given more than once for token ${token}`);
    biases.set(token, bias);
  }
  return biases;
}

/** Parses `none`, `chain:3`, `full:4,2`, `best:8` or `adaptive:16`; all except `full` also without a number. */
export function parseSpeculation(given: string): Speculation {
  const [tree, detail, ...rest] = given.split(':');
  const numbers = detail?.split(',').map(parseNumber) ?? [];
  const [size] = numbers;
  if (!numbers.includes(undefined) && rest.length === 0) {
    if (tree === 'full' && numbers.length > 0) return { tree, widths: numbers as number[] };
    if (tree === 'none' && numbers.length === 0) return tree;
    if (tree === 'chain' && numbers.length <= 1) return { tree, depth: size };
    if (tree === 'best' && numbers.length <= 1) return { tree, nodes: size };
    if (tree === 'adaptive' && numbers.length <= 1) return { tree, maxNodes: size };
  }
  const forms = 'none, chain, chain:DEPTH, full:W,W,…, best, best:NODES, adaptive or adaptive:NODES';
  throw new UsageError(`--speculation must be ${forms}, but is '${given}'`);
}
