import { check, either, instance, integer, string } from '../check';
import { ForetokenError } from '../errors';
import { MtpModel } from '../model/model';
import { TOKENIZER, type Tokenizer } from '../model/tokenizer';
import { Decoder } from './decoder';
import { StatsRecorder, type GenerateStats } from './generate-stats';
import type { IdleDecoder } from './decoder-cache';
import { checkGenerateOptions, MAX_DRAFT_NODES, type GenerateOptions } from './options';
import { makePlanner, ROOT_ONLY } from './make-planner';
import type { Planner } from './planner';
import { StopStrings } from './stop-strings';
import { fillSampling, TOKEN_IDS, type SamplingOptions } from '../tensor/ops/sampling/sampling';
import { PHASES } from './step-clock';
import type { TreePlan } from './tree-plan';

/** What one step adds to the text. */
export interface GeneratedPiece {
  /** Whole characters only; may be empty while one is not complete or a stop string may be beginning. */
  text: string;
  /** The token ids, up to the one that ends the text. */
  tokens: number[];
  /** How many of the tokens were guessed ahead and accepted: all but the last, in most steps. */
  accepted: number;
}

/** The pieces of a text as they are made; `stats` is complete when the iteration has ended. */
export interface Generation extends AsyncIterable<GeneratedPiece> {
  /** What was generated and measured so far. */
  readonly stats: GenerateStats;
}

/**
 * Continues a prompt. The output depends on the prompt, the sampling options and the seed alone, never on `speculation`,
 * the machine's load or the number of threads.
 * @param prompt text, or token ids; an empty one stands for the token that begins a text, where the model has one
 * @throws ForetokenError INVALID_ARGUMENT naming the option; the signal's reason when aborted; DIVERGED, behind the text up
 * to there, where the logits of a token are not numbers
 */
export function generate(
  model: MtpModel,
  tokenizer: Tokenizer,
  prompt: string | ArrayLike<number>,
  options: GenerateOptions = {},
): Generation {
  return generateWith(null, model, tokenizer, prompt, options);
}

/** The same with a decoder that is kept from one text to the next. */
export function generateWith(
  idle: IdleDecoder | null,
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
    [Symbol.asyncIterator]: () => iterate(run, recorder, idle),
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

/** Checks everything there is to check, so that a mistake shows at the call and not in the middle of a text. */
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

/** What an empty prompt stands for: the token that begins a text. */
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
  idle: IdleDecoder | null,
): AsyncGenerator<GeneratedPiece, void, undefined> {
  const { model, prompt, maxTokens, sampling, options, planner } = run;
  options.signal?.throwIfAborted();
  const wanted = {
    sampling,
    maxDepth: planner.maxDepth,
    capacity: prompt.length + maxTokens + MAX_DRAFT_NODES + 1,
  };
  const decoder = idle?.take(model, wanted) ?? new Decoder(model, wanted);
  let isDone = false;
  try {
    yield* decode(run, recorder, decoder);
    isDone = true;
  } finally {
    if (isDone && idle) idle.give(decoder);
    else decoder[Symbol.dispose]();
  }
}

async function* decode(
  run: Run,
  recorder: StatsRecorder,
  decoder: Decoder,
): AsyncGenerator<GeneratedPiece, void, undefined> {
  const { model, prompt, options, planner } = run;
  const end = new TextEnd(run);
  recorder.finishReason = end.reason;
  const start = performance.now();
  await decoder.prefill(prompt);
  let now = performance.now();
  recorder.prefilled(prompt.length, (now - start) / 1000);
  while (!end.reason) {
    options.signal?.throwIfAborted();
    const plan = planThatFits(planner, model, decoder.length);
    const result = await decoder.step(plan);
    const seconds = (performance.now() - now) / 1000;
    recorder.stepped(plan, result, seconds);
    const deviceSeconds = PHASES.reduce((sum, phase) => sum + result.seconds[phase], 0);
    const { path, isFirst } = result;
    planner.observe({ plan, path, seconds, deviceSeconds, isFirst });
    const piece = end.take(result.tokens);
    recorder.emitted(piece.tokens.length);
    recorder.finishReason = end.reason;
    yield piece;
    now = performance.now();
  }
}

/**
 * The planner's tree, or none: where it would stand beyond the last position of the model, and at a prompt of one token,
 * which leaves the heads nothing to look at yet.
 */
function planThatFits(planner: Planner, model: MtpModel, length: number): TreePlan {
  const plan = planner.next();
  const fits = length > 1 && length + plan.maxDepth <= model.config.maxPositionEmbeddings;
  return fits ? plan : ROOT_ONLY;
}

/** Turns committed tokens into text and finds where it ends: a step may commit more tokens than are wanted. */
class TextEnd {
  reason: 'length' | 'eos' | 'stop' | null = null;
  #left: number;
  readonly #decoder: ReturnType<Tokenizer['streamDecoder']>;
  readonly #stops: StopStrings;
  readonly #eos: number | null;

  constructor({ model, tokenizer, maxTokens, options }: Run) {
    this.#left = maxTokens;
    this.#decoder = tokenizer.streamDecoder();
    this.#stops = new StopStrings(options.stop);
    this.#eos = options.ignoreEos ? null : (tokenizer.eosId ?? model.config.eosTokenId);
    if (maxTokens === 0) this.reason = 'length';
  }

  take(committed: Int32Array): GeneratedPiece {
    const tokens: number[] = [];
    let text = '';
    for (const token of committed) {
      tokens.push(token);
      this.#left--;
      if (token === this.#eos) this.reason = 'eos';
      const shown = this.#stops.push(token === this.#eos ? '' : this.#decoder.push([token]));
      text += shown.text;
      if (shown.stopped) this.reason = 'stop';
      else if (!this.reason && this.#left === 0) this.reason = 'length';
      if (this.reason) break;
    }
    if (this.reason && this.reason !== 'stop') text += this.#rest();
    return { text, tokens, accepted: Math.min(tokens.length, committed.length - 1) };
  }

  /** What the decoder and the stop strings still hold back. */
  #rest(): string {
    const shown = this.#stops.push(this.#decoder.flush());
    if (shown.stopped) this.reason = 'stop';
    return shown.stopped ? shown.text : shown.text + this.#stops.flush();
  }
}
