import { check, either, instance, integer, string } from '../check';
import { ForetokenError } from '../errors';
import { MtpModel } from '../model/model';
import { TOKENIZER, type Tokenizer } from '../model/tokenizer';
import { Decoder } from './decoder';
import { StatsRecorder, type GenerateStats } from './generate-stats';
import type { DecoderCache } from './decoder-cache';
import { checkGenerateOptions, MAX_DRAFT_NODES, type GenerateOptions } from './options';
import { makePlanner, ROOT_ONLY } from './make-planner';
import type { Planner } from './planner';
import { OutputLimiter, type GeneratedPiece } from './output-limiter';
import { fillSampling, TOKEN_IDS, type SamplingOptions } from '../tensor/ops/sampling/sampling';
import { PHASES } from './step-clock';
import type { TreePlan } from './tree-plan';

/** The pieces of a text as they are generated; `stats` is complete when the iteration has ended. */
export interface Generation extends AsyncIterable<GeneratedPiece> {
  /** Statistics so far. */
  readonly stats: GenerateStats;
}

/**
 * Continues a prompt. The output depends only on the prompt, the sampling options and the seed, never on `speculation`, the
 * load of the machine or the number of threads.
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
  prompt: string | ArrayLike<number>,
  options: GenerateOptions = {},
): Generation {
  return generateWith(null, model, tokenizer, prompt, options);
}

/** Like {@link generate}, with a decoder that is kept from one text to the next. */
export function generateWith(
  decoders: DecoderCache | null,
  model: MtpModel,
  tokenizer: Tokenizer,
  prompt: string | ArrayLike<number>,
  options: GenerateOptions,
): Generation {
  const recorder = new StatsRecorder();
  const run = prepare(model, tokenizer, prompt, options);
  return {
    get stats() {
      return recorder.stats;
    },
    [Symbol.asyncIterator]: () => iterate(run, recorder, decoders),
  };
}

interface Run {
  model: MtpModel;
  tokenizer: Tokenizer;
  prompt: ArrayLike<number>;
  maxTokens: number;
  sampling: Required<SamplingOptions>;
  options: Pick<GenerateOptions, 'stop' | 'ignoreEos' | 'signal'>;
  planner: Planner;
}

const PROMPT = either<[string, ArrayLike<number>]>(string, TOKEN_IDS);

/** Checks all arguments, so that a mistake fails at the call and not in the middle of a text. */
function prepare(
  model: MtpModel,
  tokenizer: Tokenizer,
  prompt: string | ArrayLike<number>,
  options: GenerateOptions,
): Run {
  check('generate: model', model, instance(MtpModel));
  check('generate: tokenizer', tokenizer, TOKENIZER);
  const checked = checkGenerateOptions(options, model);
  const sampling = fillSampling('generate', checked, model.config.vocabSize);
  const given = check('generate: prompt', prompt, PROMPT);
  const encoded = typeof given === 'string' ? tokenizer.encode(given) : given;
  const fail = (message: string): never => {
    throw new ForetokenError('INVALID_ARGUMENT', `generate: ${message}`);
  };
  const { vocabSize, maxPositionEmbeddings } = model.config;
  const ids = encoded.length > 0 ? encoded : beginning(model, tokenizer);
  if (ids.length >= maxPositionEmbeddings) {
    fail(`prompt has ${ids.length} tokens, but the model has ${maxPositionEmbeddings} positions`);
  }
  const id = integer(0, vocabSize - 1);
  for (let i = 0; i < ids.length; i++) {
    if (!id.fits(ids[i])) check(`generate: prompt[${i}]`, ids[i], id);
  }
  const { maxTokens = 256, speculation = model.numHeads > 1 ? { tree: 'adaptive' } : 'none' } = checked;
  return {
    model,
    tokenizer,
    prompt: ids,
    maxTokens: Math.min(maxTokens, maxPositionEmbeddings - ids.length),
    sampling,
    options: checked,
    planner: makePlanner(speculation, model),
  };
}

/** Returns the token that begins a text, for an empty prompt. */
function beginning({ config }: MtpModel, { bosId, eosId }: Tokenizer): number[] {
  const bos = bosId ?? config.bosTokenId;
  if (bos !== null) return [bos];
  const eos = eosId ?? config.eosTokenId;
  const advice = eos === null ? '' : `, or [${eos}], the token that ends one`;
  throw new ForetokenError(
    'INVALID_ARGUMENT',
    `generate: prompt is empty, and the model names no token that begins a text (bos_token); give a prompt${advice}`,
  );
}

async function* iterate(
  run: Run,
  recorder: StatsRecorder,
  decoders: DecoderCache | null,
): AsyncGenerator<GeneratedPiece, void, undefined> {
  const { model, prompt, maxTokens, sampling, options, planner } = run;
  options.signal?.throwIfAborted();
  const wanted = {
    sampling,
    maxDepth: planner.maxDepth,
    capacity: prompt.length + maxTokens + MAX_DRAFT_NODES + 1,
  };
  const decoder = decoders?.take(model, wanted) ?? new Decoder(model, wanted);
  let isDone = false;
  try {
    yield* decode(run, recorder, decoder);
    isDone = true;
  } finally {
    if (isDone && decoders) decoders.give(decoder);
    else decoder.dispose();
  }
}

async function* decode(
  run: Run,
  recorder: StatsRecorder,
  decoder: Decoder,
): AsyncGenerator<GeneratedPiece, void, undefined> {
  const { model, prompt, options, planner } = run;
  const output = new OutputLimiter(run);
  recorder.finishReason = output.finishReason;
  const start = performance.now();
  await decoder.prefill(prompt);
  let now = performance.now();
  recorder.prefilled(prompt.length, (now - start) / 1000);
  while (!output.finishReason) {
    options.signal?.throwIfAborted();
    const plan = planThatFits(planner, model, decoder.length);
    const result = await decoder.step(plan);
    const seconds = (performance.now() - now) / 1000;
    recorder.stepped(plan, result, seconds);
    const deviceSeconds = PHASES.reduce((sum, phase) => sum + result.seconds[phase], 0);
    const { path, isFirst } = result;
    planner.observe({ plan, path, seconds, deviceSeconds, isFirst });
    const piece = output.take(result.tokens);
    recorder.emitted(piece.tokens.length);
    recorder.finishReason = output.finishReason;
    yield piece;
    now = performance.now();
  }
}

/**
 * Returns the planner's tree, or the root alone if the tree would reach beyond the last position of the model. After a prompt
 * of one token it is the root alone, too: the heads have no state to draft from yet.
 */
function planThatFits(planner: Planner, model: MtpModel, length: number): TreePlan {
  const plan = planner.next();
  const fits = length > 1 && length + plan.maxDepth <= model.config.maxPositionEmbeddings;
  return fits ? plan : ROOT_ONLY;
}
