import { checkOptions, check, integer, required, type Schema } from '../../../check';
import { native } from '../../../native/load';
import { handleOf, LARGEST_INT, tensor } from '../../checks';
import { scope } from '../../scope';
import { Tensor } from '../../tensor';
import { deviceSampling, SEQUENCE_SAMPLING, type SequenceSampling } from './device-sampling';

/** Options of {@link proposeTokens}. */
export interface ProposeTokensOptions {
  /** int32 [sequences]: a position in each sequence. */
  positions: Tensor;
  /**
   * Row i of a sequence proposes tokens for its position + ahead + i, which keys their random numbers. Default 0.
   */
  ahead?: number;
  /**
   * How tokens are drawn: options for all sequences, for each, or for each and packed. Temperature, seed and logitBias apply.
   * Default: the likeliest tokens.
   */
  sampling?: SequenceSampling;
  /** Number of tokens for each row, 0 … vocab. */
  k: number;
  /**
   * int32 [vocab], rising: the token of each column, if the logits are those of some tokens only. Noise and biases are those of these
   * tokens. Default: column i is token i.
   */
  ids?: Tensor;
}

const PROPOSE_TOKENS_OPTIONS: Schema<ProposeTokensOptions> = {
  positions: required(tensor),
  ahead: integer(0, LARGEST_INT),
  sampling: SEQUENCE_SAMPLING,
  k: required(integer(0, LARGEST_INT)),
  ids: tensor,
};

/** Result of {@link proposeTokens}. */
export interface ProposeTokensResult {
  /** int32 [rows, k]: the proposed tokens, best first. */
  tokens: Tensor;
  /** float32 [rows, k]: how sure the drafter is of each, from 0 to 1. */
  weights: Tensor;
}

/**
 * Proposes drafts that agree with draws: the tokens with the largest z / temperature + noise, where the noise is that of a draw with
 * the same seed at the same position; the lowest token first among equals. The better the logits, the oftener the first proposal is the
 * token that will be drawn. At temperature 0 they are the tokens with the largest logits. Weights are the softmax of these numbers over
 * the whole row. NaN ranks with -Infinity, and both have the weight 0.
 * @param logits float32 [rows, vocab]: equally many rows of each sequence, one sequence after another
 * @throws ForetokenError INVALID_ARGUMENT naming an option; SHAPE_MISMATCH if the sequences cannot share the rows equally
 */
export function proposeTokens(logits: Tensor, options: ProposeTokensOptions): ProposeTokensResult {
  const where = 'proposeTokens';
  const { device, shape } = check(`${where}: logits`, logits, tensor);
  const {
    positions,
    ahead = 0,
    sampling: given = {},
    k,
    ids,
  } = checkOptions(where, options, PROPOSE_TOKENS_OPTIONS);
  return scope(() => {
    const sampling = deviceSampling(where, given, {
      device,
      vocabSize: ids ? LARGEST_INT : (shape.at(-1) ?? 0),
      sequences: positions.shape[0] ?? 0,
    });
    const [tokens, weights] = native.proposeTokens(
      handleOf(logits),
      ids?.handle,
      positions.handle,
      ahead,
      k,
      ...sampling.handles,
    );
    return { tokens: new Tensor(device, tokens), weights: new Tensor(device, weights) };
  });
}
