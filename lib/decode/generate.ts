import { check, either, instance, integer, string } from '../check';
import { ForetokenError } from '../errors';
import { MtpModel } from '../model/model';
import { TOKENIZER, type Tokenizer } from '../model/tokenizer';
import { fillSampling, TOKEN_IDS } from '../tensor/ops/sampling/sampling';
import { StatsRecorder, type GenerateStats } from './generate-stats';
import { checkGenerateOptions, type GenerateOptions } from './options';
import type { GeneratedPiece } from './output-limiter';
import { Scheduler } from './scheduler';
import { strategyOf } from './strategy';
import { Text, usesHeads, type TextRequest } from './text';

/** A text to continue, or its token ids. */
export type Prompt = string | ArrayLike<number>;

/**
 * The pieces of a text as they are generated; `stats` is complete when the iteration has ended. Every iteration generates the
 * text again, with statistics of its own.
 */
export interface Generation extends AsyncIterable<GeneratedPiece> {
  /** Statistics of the latest iteration so far. */
  readonly stats: GenerateStats;
}

/**
 * Continues a prompt. The output depends only on the prompt, the sampling options and the seed, never on `speculation`, the
 * load of the machine, the number of threads or other texts.
 * @param prompt text or token ids; an empty prompt stands for the token that begins a text, if the model has one
 * @throws ForetokenError INVALID_ARGUMENT naming the option; the signal's reason when aborted; DIVERGED, after the text so far,
 * if the logits of a token are not numbers
 * @example
 * ```ts
 * import { generate, loadModel, openDevice } from 'foretoken';
 *
 * using device = openDevice('cpu');
 * const { model, tokenizer } = await loadModel(device, 'models/first');
 * const tokens: number[] = [];
 * const options = { maxTokens: 50, stop: '\n\n', speculation: { tree: 'chain' } } as const;
 * for await (const piece of generate(model, tokenizer, 'Hello', options)) tokens.push(...piece.tokens);
 * ```
 */
export function generate(
  model: MtpModel,
  tokenizer: Tokenizer,
  prompt: Prompt,
  options: GenerateOptions = {},
): Generation {
  const request = prepare('generate', model, tokenizer, prompt, options);
  const draftDepth = usesHeads(request) ? model.numHeads - 1 : 0;
  return generationOf(request, () => {
    const scheduler = new Scheduler(model, { slots: 1, draftDepth });
    return { scheduler, end: () => scheduler.dispose() };
  });
}

/** Where the text of an iteration is generated, and what frees it when the iteration ends. */
interface Place {
  readonly scheduler: Scheduler;
  readonly end: () => void;
}

/** Takes texts out of their engines whose iterators were dropped before they ended. */
const abandoned = new FinalizationRegistry<() => void>((leave) => leave());

/** Makes the generation of a request. */
export function generationOf(request: TextRequest, place: () => Place): Generation {
  let recorder = new StatsRecorder(request.prompt.length);
  return {
    get stats() {
      return recorder.stats;
    },
    [Symbol.asyncIterator]() {
      recorder = new StatsRecorder(request.prompt.length);
      const text = new Text(request, recorder);
      const { scheduler, end } = place();
      const leave = (): void => {
        scheduler.leave(text);
        end();
      };
      const pieces = iterate(text, scheduler, leave);
      abandoned.register(pieces, leave);
      return pieces;
    },
  };
}

async function* iterate(
  text: Text,
  scheduler: Scheduler,
  leave: () => void,
): AsyncGenerator<GeneratedPiece, void, undefined> {
  try {
    text.request.options.signal?.throwIfAborted();
    while (!text.isDone) yield await scheduler.next(text);
  } finally {
    leave();
  }
}

const PROMPT = either<[string, ArrayLike<number>]>(string, TOKEN_IDS);

/**
 * Checks all arguments, so that a mistake fails at the call and not in the middle of a text.
 * @param where the function's name for messages
 */
export function prepare(
  where: string,
  model: MtpModel,
  tokenizer: Tokenizer,
  prompt: Prompt,
  options: GenerateOptions,
): TextRequest {
  check(`${where}: model`, model, instance(MtpModel));
  check(`${where}: tokenizer`, tokenizer, TOKENIZER);
  const checked = checkGenerateOptions(where, options, model);
  const sampling = fillSampling(where, checked, model.config.vocabSize);
  const given = check(`${where}: prompt`, prompt, PROMPT);
  const encoded = typeof given === 'string' ? encodeStart(tokenizer, given) : given;
  const fail = (message: string): never => {
    throw new ForetokenError('INVALID_ARGUMENT', `${where}: ${message}`);
  };
  const { vocabSize, maxPositionEmbeddings } = model.config;
  const ids = encoded.length > 0 ? encoded : beginning(where, model, tokenizer);
  if (ids.length >= maxPositionEmbeddings) {
    fail(`prompt has ${ids.length} tokens, but the model has ${maxPositionEmbeddings} positions`);
  }
  const id = integer(0, vocabSize - 1);
  for (let i = 0; i < ids.length; i++) {
    if (!id.fits(ids[i])) check(`${where}: prompt[${i}]`, ids[i], id);
  }
  const { maxTokens = 256, speculation = { tree: 'adaptive' } } = checked;
  // A copy, in case the caller changes the array before the iteration begins.
  const copy = Int32Array.from(ids);
  return {
    model,
    tokenizer,
    prompt: copy,
    after: copy,
    maxTokens: Math.min(maxTokens, maxPositionEmbeddings - ids.length),
    sampling,
    options: checked,
    strategy: strategyOf(speculation, model.numHeads),
  };
}

/** Encodes a text that goes on: without the token that ends a text, which some tokenizers put behind every text. */
function encodeStart(tokenizer: Tokenizer, text: string): Int32Array {
  const ids = tokenizer.encode(text);
  const { eosId } = tokenizer;
  if (eosId === undefined || ids.at(-1) !== eosId) return ids;
  const isWritten = tokenizer.encode(text, { addSpecialTokens: false }).at(-1) === eosId;
  return isWritten ? ids : ids.subarray(0, -1);
}

/** Returns the token that begins a text, for an empty prompt. */
function beginning(where: string, { config }: MtpModel, { bosId, eosId }: Tokenizer): number[] {
  const bos = bosId ?? config.bosTokenId;
  if (bos !== null) return [bos];
  const eos = eosId ?? config.eosTokenIds[0];
  const advice = eos === undefined ? '' : `, or [${eos}], the token that ends one`;
  throw new ForetokenError(
    'INVALID_ARGUMENT',
    `${where}: prompt is empty, and the model names no token that begins a text (bos_token); give a prompt${advice}`,
  );
}
