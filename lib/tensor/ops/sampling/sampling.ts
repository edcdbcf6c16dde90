import { types } from 'node:util';
import {
  check,
  checker,
  checkOptions,
  integer,
  isInteger,
  number,
  object,
  required,
  type Checker,
  type Schema,
} from '../../../check';
import { ForetokenError } from '../../../errors';
import type { SamplingArguments, SamplingNumbers } from '../../../native/binding';
import { native } from '../../../native/load';
import { handleOf, LARGEST_INT, tensor } from '../../checks';
import type { Device } from '../../device';
import { scope } from '../../scope';
import { Tensor } from '../../tensor';

/**
 * How a token is drawn. The options apply in this order: logitBias, penalties, temperature, topK, topP, minP, then one draw. By
 * default all are off, and the likeliest token is taken.
 */
export interface SamplingOptions {
  /** 0 (default) takes the likeliest token; any other temperature, at least 1e-6, divides the logits before the draw. */
  temperature?: number;
  /** Keeps the k likeliest tokens. 0 = off. */
  topK?: number;
  /** Keeps the fewest likeliest tokens whose probabilities sum to at least this (Holtzman et al. 2020). 1 = off. */
  topP?: number;
  /** Drops tokens less likely than this share of the likeliest one's probability (Nguyen et al. 2024). 0 = off. */
  minP?: number;
  /** Greater than 0: divides positive and multiplies negative logits of tokens in prompt and output (Keskar et al. 2019). 1 = off. */
  repetitionPenalty?: number;
  /** Subtracted from a token's logit for every occurrence in the output. 0 = off. */
  frequencyPenalty?: number;
  /** Subtracted once from the logits of tokens in the output. 0 = off. */
  presencePenalty?: number;
  /** Added to the logits of these tokens; -Infinity excludes a token. */
  logitBias?: ReadonlyMap<number, number>;
  /** Seed of the random numbers, an integer in 0 … 2^64-1. Default 0. */
  seed?: number | bigint;
}

/** Prompt and output before a draw. */
export interface SamplingHistory {
  /** Token ids, prompt first. */
  tokens: ArrayLike<number>;
  /** Number of tokens, from the first, that are the prompt. */
  promptLength: number;
}

/** A larger bias would round away the digits of a logit. */
const LARGEST_BIAS = 1e6;
const LARGEST_TEMPERATURE = 1e6;
const LARGEST_PENALTY = 1e4;
const LARGEST_SOFTCAP = 1e30;

const temperature: Checker<number> = checker(
  `0, or a number from 0.000001 to ${LARGEST_TEMPERATURE}`,
  (value) => value === 0 || (typeof value === 'number' && value >= 1e-6 && value <= LARGEST_TEMPERATURE),
);

const seed: Checker<number | bigint> = checker('an integer from 0 to 2^64-1', (value) =>
  typeof value === 'bigint' ? value >= 0n && value < 2n ** 64n : isInteger(value, 0),
);

export const softcap: Checker<number> = number(0, LARGEST_SOFTCAP);

const anyBias: Checker<number> = checker(
  `-Infinity or a number from -${LARGEST_BIAS} to ${LARGEST_BIAS}`,
  (value) => value === -Infinity || (typeof value === 'number' && Math.abs(value) <= LARGEST_BIAS),
);

const logitBias: Checker<ReadonlyMap<number, number>> = {
  allowed: 'a Map of token ids to numbers',
  fits: types.isMap,
  parts: (what, value) => {
    // Map's own method, in case the given map overrides it; and a copy, in case the caller changes the map.
    const biases = new Map(Map.prototype.entries.call(value as Map<number, number>));
    for (const [token, bias] of biases) {
      check(`${what}: token`, token, integer(0, LARGEST_INT));
      check(`${what} of token ${token}`, bias, anyBias);
    }
    return biases;
  },
};

export const SAMPLING_OPTIONS: Schema<SamplingOptions> = {
  temperature,
  topK: integer(0, LARGEST_INT),
  topP: number(0, 1),
  minP: number(0, 1),
  repetitionPenalty: number(0.001, 1000),
  frequencyPenalty: number(-LARGEST_PENALTY, LARGEST_PENALTY),
  presencePenalty: number(-LARGEST_PENALTY, LARGEST_PENALTY),
  logitBias,
  seed,
};

/** Arrays, typed arrays, and any other object with a length and elements. */
export const TOKEN_IDS: Checker<ArrayLike<number>> = checker(
  'an array of token ids',
  (value) => typeof value === 'object' && value !== null && isInteger((value as ArrayLike<number>).length, 0),
);

export const HISTORY: Checker<SamplingHistory> = object<SamplingHistory>({
  tokens: required(TOKEN_IDS),
  promptLength: required(integer(0, LARGEST_INT)),
});

/**
 * Fills in the defaults of checked options.
 * @param where the function's name for the message
 * @throws ForetokenError INVALID_ARGUMENT naming a token of `logitBias` that is not in the vocabulary
 */
export function fillSampling(
  where: string,
  options: SamplingOptions,
  vocabSize: number,
): Required<SamplingOptions> {
  const filled: Required<SamplingOptions> = {
    temperature: options.temperature ?? 0,
    topK: options.topK ?? 0,
    topP: options.topP ?? 1,
    minP: options.minP ?? 0,
    repetitionPenalty: options.repetitionPenalty ?? 1,
    frequencyPenalty: options.frequencyPenalty ?? 0,
    presencePenalty: options.presencePenalty ?? 0,
    logitBias: options.logitBias ?? new Map<number, number>(),
    seed: options.seed ?? 0,
  };
  for (const token of filled.logitBias.keys()) {
    check(`${where}: token of logitBias`, token, integer(0, vocabSize - 1));
  }
  return filled;
}

function numbersOf(options: Required<SamplingOptions>): SamplingNumbers {
  return [
    options.temperature,
    options.topK,
    options.topP,
    options.minP,
    options.repetitionPenalty,
    options.frequencyPenalty,
    options.presencePenalty,
    options.seed,
  ];
}

/**
 * Converts the tokens of a history to an array; the kernels check whether they are in the vocabulary.
 * @param name name of the history, for messages
 * @throws ForetokenError INVALID_ARGUMENT for a token that is not an int32; an Int32Array would turn it into another token
 */
export function historyTokens({ tokens }: SamplingHistory, name: string): Int32Array {
  if (types.isInt32Array(tokens)) return tokens;
  return Int32Array.from(tokens, (token, i) => {
    if ((token | 0) !== token) {
      throw new ForetokenError(
        'INVALID_ARGUMENT',
        `${name}.tokens[${i}] must be a 32-bit integer, but is ${String(token)}`,
      );
    }
    return token;
  });
}

/** Whether draws depend on the text before them. */
export function needsHistory(options: Required<SamplingOptions>): boolean {
  return options.repetitionPenalty !== 1 || options.frequencyPenalty !== 0 || options.presencePenalty !== 0;
}

/** Lists the options as arguments of the addon; their tensors belong to the scope around the call. */
export function samplingArguments(device: Device, options: Required<SamplingOptions>): SamplingArguments {
  const { logitBias } = options;
  if (logitBias.size === 0) return [...numbersOf(options), undefined, undefined];
  const tokens = device.tensor(Int32Array.from(logitBias.keys()));
  const values = device.tensor(Float32Array.from(logitBias.values()));
  return [...numbersOf(options), tokens.handle, values.handle];
}

/**
 * Finds the k largest entries of each row, in descending order, lowest index first among equals.
 * @param x float32 [..., cols]
 * @param k 0 … cols
 */
export function topK(
  x: Tensor,
  k: number,
): {
  /** int32 [..., k]: index of each entry in its row. */
  indices: Tensor;
  /** float32 [..., k]: the entries themselves. */
  values: Tensor;
} {
  const [indices, values] = native.topK(handleOf(x), k);
  return { indices: new Tensor(x.device, indices), values: new Tensor(x.device, values) };
}

/** Options of {@link linearSample}. */
export interface LinearSampleOptions {
  /** [vocab], added to the logits. */
  bias?: Tensor;
  /** int32 [rows]: position of the drawn token, which keys its random numbers. Needed unless temperature is 0. */
  positions?: Tensor;
  /** 0 (default) takes the likeliest token; any other temperature, at least 1e-6, divides the logits before the draw. */
  temperature?: number;
  /** Seed of the random numbers, an integer in 0 … 2^64-1. Default 0. */
  seed?: number | bigint;
  /** z = softcap·tanh(z / softcap). 0 = off. */
  softcap?: number;
}

const LINEAR_SAMPLE_OPTIONS: Schema<LinearSampleOptions> = {
  bias: tensor,
  positions: tensor,
  temperature,
  seed,
  softcap,
};

/**
 * Unembeds and draws in one operation that never writes logits. NaN and -Infinity are never drawn; if a row has no other logits, the
 * next readback rejects with DIVERGED.
 * @param hidden [rows, dim]
 * @param weight [vocab, dim], row-major or packed
 * @returns int32 [rows]
 */
export function linearSample(hidden: Tensor, weight: Tensor, options: LinearSampleOptions = {}): Tensor {
  const checked = checkOptions('linearSample', options, LINEAR_SAMPLE_OPTIONS);
  const tokens = native.linearSample(
    handleOf(hidden),
    handleOf(weight),
    handleOf(checked.bias),
    handleOf(checked.positions),
    checked.softcap ?? 0,
    checked.temperature ?? 0,
    checked.seed ?? 0,
  );
  return new Tensor(hidden.device, tokens);
}

/**
 * Draws a token from each row of logits, as plain decoding does. NaN and -Infinity are never drawn; if a row has no other logits,
 * the next readback rejects with DIVERGED.
 * @param logits [rows, vocab]; not modified
 * @param positions int32 [rows]: position of the drawn token
 * @param history the text before the draws, the same for every row; only penalties need it
 * @returns int32 [rows]
 */
export function sampleLogits(
  logits: Tensor,
  positions: Tensor,
  options: SamplingOptions = {},
  history?: SamplingHistory,
): Tensor {
  const { device, shape } = check('sampleLogits: logits', logits, tensor);
  const checked = checkOptions('sampleLogits', options, SAMPLING_OPTIONS);
  const sampling = fillSampling('sampleLogits', checked, shape.at(-1) ?? 0);
  const past = history === undefined ? undefined : check('sampleLogits: history', history, HISTORY);
  return scope(() => {
    const tokens = past ? device.tensor(historyTokens(past, 'sampleLogits: history')) : undefined;
    const drawn = native.sampleLogits(
      logits.handle,
      handleOf(positions),
      tokens?.handle,
      past?.promptLength ?? 0,
      ...samplingArguments(device, sampling),
    );
    return new Tensor(device, drawn);
  });
}
