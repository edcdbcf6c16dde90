import {
  arrayOf,
  check,
  checkIndex,
  checkOptions,
  either,
  instance,
  integer,
  object,
  type Checker,
  type Schema,
} from '../../../check';
import { ForetokenError } from '../../../errors';
import type { SamplingNeeds, SequenceSamplingArguments } from '../../../native/binding';
import { device as deviceChecker, LARGEST_INT } from '../../checks';
import type { Device } from '../../device';
import { keep, own } from '../../scope';
import type { Tensor } from '../../tensor';
import { fillSampling, needsHistory, SAMPLING_OPTIONS, type SamplingOptions } from './sampling';

/** Words of SamplingNumbers in csrc/core/ops.h. */
const WORDS = 10;

const NEEDS: readonly SamplingNeeds[] = ['nothing', 'logits', 'history'];

/**
 * How the tokens of some sequences are drawn, on the device, where captured work reads it: after {@link DeviceSampling.write} a
 * replay draws by the new options. Made by {@link packSampling}.
 */
export class DeviceSampling implements Disposable {
  /** int32 [sequences, 10]: the options of each sequence except its bias, packed. */
  readonly numbers: Tensor;
  /** int32 [sequences, room]: the tokens of each sequence's logit bias; null if there is no room for one. */
  readonly biasTokens: Tensor | null;
  /** float32 [sequences, room]: what is added to the logits of these tokens. */
  readonly biasValues: Tensor | null;
  readonly #words: Int32Array;
  readonly #room: number;
  readonly #needs: SamplingNeeds[];

  /** @internal */
  constructor(device: Device, options: readonly Required<SamplingOptions>[], room = longestBias(options)) {
    const sequences = options.length;
    this.#words = new Int32Array(sequences * WORDS);
    this.#room = room;
    this.#needs = options.map(needsOf);
    const [tokens, values] = [new Int32Array(sequences * room), new Float32Array(sequences * room)];
    options.forEach((each, sequence) => {
      this.#words.set(wordsOf(each), sequence * WORDS);
      tokens.set([...each.logitBias.keys()], sequence * room);
      values.set([...each.logitBias.values()], sequence * room);
    });
    this.numbers = device.tensor(this.#words, [sequences, WORDS]);
    this.biasTokens = room > 0 ? device.tensor(tokens, [sequences, room]) : null;
    this.biasValues = room > 0 ? device.tensor(values, [sequences, room]) : null;
    for (const tensor of [this.numbers, this.biasTokens, this.biasValues]) if (tensor) keep(tensor);
  }

  /** Number of sequences. */
  get sequences(): number {
    return this.#needs.length;
  }

  /**
   * The needs of draws because of some sequence: `nothing` except a running argmax, whole rows of `logits`, or also the text before them
   * (`history`). A capture keeps the needs that it was made with: options that need more are off in its replays.
   */
  get needs(): SamplingNeeds {
    return NEEDS.findLast((needs) => this.#needs.includes(needs)) ?? 'nothing';
  }

  /** @internal The arguments of the addon. */
  get handles(): SequenceSamplingArguments {
    return [this.numbers.handle, this.biasTokens?.handle, this.biasValues?.handle, this.needs];
  }

  /**
   * Replaces the options of one sequence, for what is enqueued from now on.
   * @throws ForetokenError INVALID_ARGUMENT naming an option, or if logitBias has more tokens than there is room for;
   * INDEX_OUT_OF_RANGE for a sequence that does not exist
   */
  write(sequence: number, options: SamplingOptions): void {
    const where = 'DeviceSampling: write';
    checkIndex(where, 'sequence', sequence, this.sequences);
    const filled = fillSampling(where, checkOptions(where, options, SAMPLING_OPTIONS), LARGEST_INT);
    const { size } = filled.logitBias;
    if (size > this.#room) throw tooManyTokens(`${where}: logitBias`, size, this.#room);
    this.#needs[sequence] = needsOf(filled);
    this.#words.set(wordsOf(filled), sequence * WORDS);
    this.numbers.write(this.#words);
    if (size === 0) return;
    const first = sequence * this.#room;
    using tokens = this.biasTokens!.view(first, [size]);
    using values = this.biasValues!.view(first, [size]);
    tokens.write(Int32Array.from(filled.logitBias.keys()));
    values.write(Float32Array.from(filled.logitBias.values()));
  }

  /** Frees the tensors. */
  dispose(): void {
    for (const tensor of [this.numbers, this.biasTokens, this.biasValues]) tensor?.dispose();
  }

  /** Calls {@link dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Options of {@link packSampling}. */
export interface PackSamplingOptions {
  /** Tokens that the logit bias of a sequence may have. Default: as many as the longest of the given ones. */
  biasRoom?: number;
}

const PACK_OPTIONS: Schema<PackSamplingOptions> = { biasRoom: integer(0, LARGEST_INT) };
const OPTIONS_BY_SEQUENCE = arrayOf(object(SAMPLING_OPTIONS));

/**
 * Packs the sampling options of some sequences for {@link verifyTree}: once, instead of at every call. The caller disposes of the
 * result.
 * @param sampling the options of each sequence
 * @throws ForetokenError INVALID_ARGUMENT naming the option, what was given and what is allowed; OUT_OF_MEMORY
 */
export function packSampling(
  device: Device,
  sampling: readonly SamplingOptions[],
  options: PackSamplingOptions = {},
): DeviceSampling {
  const where = 'packSampling';
  check(`${where}: device`, device, deviceChecker);
  const filled = check(`${where}: sampling`, sampling, OPTIONS_BY_SEQUENCE).map((each) =>
    fillSampling(where, each, LARGEST_INT),
  );
  const { biasRoom } = checkOptions(where, options, PACK_OPTIONS);
  filled.forEach(({ logitBias: { size } }, sequence) => {
    if (biasRoom === undefined || size <= biasRoom) return;
    throw tooManyTokens(`${where}: sampling[${sequence}].logitBias`, size, biasRoom);
  });
  return new DeviceSampling(device, filled, biasRoom);
}

/** Options for all sequences, for each of them, or for each of them and packed. */
export type SequenceSampling = SamplingOptions | readonly SamplingOptions[] | DeviceSampling;

export const SEQUENCE_SAMPLING: Checker<SequenceSampling> = either<
  [DeviceSampling, readonly SamplingOptions[], SamplingOptions]
>(instance(DeviceSampling), OPTIONS_BY_SEQUENCE, object(SAMPLING_OPTIONS));

/**
 * Packs checked options unless they are packed. The scope around the call owns the result.
 * @param where the function's name for messages
 */
export function deviceSampling(
  where: string,
  given: SequenceSampling,
  { device, vocabSize, sequences }: { device: Device; vocabSize: number; sequences: number },
): DeviceSampling {
  if (given instanceof DeviceSampling) return given;
  const fill = (options: SamplingOptions): Required<SamplingOptions> =>
    fillSampling(where, options, vocabSize);
  const filled =
    'length' in given ? given.map(fill) : new Array<Required<SamplingOptions>>(sequences).fill(fill(given));
  return own(new DeviceSampling(device, filled));
}

function longestBias(options: readonly Required<SamplingOptions>[]): number {
  return options.reduce((longest, { logitBias }) => Math.max(longest, logitBias.size), 0);
}

function tooManyTokens(what: string, size: number, room: number): ForetokenError {
  return new ForetokenError('INVALID_ARGUMENT', `${what} has ${size} tokens, but there is room for ${room}`);
}

function needsOf(options: Required<SamplingOptions>): SamplingNeeds {
  if (needsHistory(options)) return 'history';
  const { temperature, topK, topP, minP, logitBias } = options;
  const isFiltered = temperature > 0 && (topK > 0 || topP < 1 || minP > 0);
  return isFiltered || logitBias.size > 0 ? 'logits' : 'nothing';
}

/** The options as the words of SamplingNumbers. */
function wordsOf(options: Required<SamplingOptions>): Int32Array {
  const words = new Int32Array(WORDS);
  const floats = new Float32Array(words.buffer);
  const seed = BigInt(options.seed);
  floats[0] = options.temperature;
  words[1] = options.topK;
  floats.set([options.topP, options.minP], 2);
  floats.set([options.repetitionPenalty, options.frequencyPenalty, options.presencePenalty], 4);
  words[7] = Number(BigInt.asIntN(32, seed));
  words[8] = Number(BigInt.asIntN(32, seed >> 32n));
  words[9] = options.logitBias.size;
  return words;
}
