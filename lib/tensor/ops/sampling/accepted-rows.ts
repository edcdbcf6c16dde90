import { checkOptions, integer, required, type Schema } from '../../../check';
import { native } from '../../../native/load';
import { LARGEST_INT, tensors } from '../../checks';
import { Tensor } from '../../tensor';
import type { TreeRows } from '../attention/kv-cache';

/** Paths that a step accepted, and the positions that were open before it. */
export interface AcceptedRowsInputs {
  /** int32 [sequences, stride]: accepted rows of the step, root first, as {@link verifyTree} returns them. */
  path: Tensor;
  /** int32 [sequences]: number of accepted rows; 0 for a sequence that did nothing in this step. */
  counts: Tensor;
  /** int32 [sequences, stride]: the token drawn at each accepted row. */
  drawn: Tensor;
  /** int32 [sequences]: committed positions before the step, which is the position of the step's root. */
  lengths: Tensor;
  /** int32 [sequences]: number of open positions before the step, which are the last of the committed ones. */
  open: Tensor;
  /** int32 [sequences, mostOpen]: the token that follows each open position, oldest first. */
  openTokens: Tensor;
  /** Number of rows of the results; those that no sequence needs are padding. */
  rows: number;
}

const ACCEPTED_ROWS_INPUTS: Schema<AcceptedRowsInputs> = {
  ...tensors('path', 'counts', 'drawn', 'lengths', 'open', 'openTokens'),
  rows: required(integer(0, LARGEST_INT)),
};

/**
 * Result of {@link acceptedRows}; all int32. Sources are row numbers of a matrix of states: first the open states of all sequences,
 * mostOpen for each, then those of the step's rows.
 */
export interface AcceptedRowsResult {
  /** A chain for each sequence, behind its final positions: lengths − open of them. */
  tree: TreeRows;
  /** `[rows]`: position of each row; 0 for padding. */
  positions: Tensor;
  /** `[rows]`: source of each row's state; 0 for padding. */
  sources: Tensor;
  /** `[sequences, mostOpen + stride]`: the token that follows each row of a sequence, then 0. */
  following: Tensor;
  /** `[sequences]`: last row of each sequence; 0 if it has none. */
  last: Tensor;
  /** `[sequences]`: number of open positions after the step. */
  nextOpen: Tensor;
  /** `[sequences, mostOpen]`: the token that follows each of them, oldest first, then 0. */
  nextOpenTokens: Tensor;
  /** `[sequences · mostOpen]`: source of the state of each of them; an entry beyond them names itself. */
  kept: Tensor;
}

/**
 * Lists the rows that drafting heads with a KV cache read after a step: for each sequence that accepted nodes, first its open
 * positions, oldest first, then these nodes. A position is open while a chained head has seen a token that follows it only as a draft,
 * so the last mostOpen positions are; mostOpen is 0 for heads that are not chained. A sequence without accepted nodes gets no rows and
 * keeps its open positions.
 * @throws ForetokenError INDEX_OUT_OF_RANGE for counts, lengths or paths that contradict each other, and if there are more rows than
 * `rows`; if only the device knows, the next readback rejects
 */
export function acceptedRows(inputs: AcceptedRowsInputs): AcceptedRowsResult {
  const checked = checkOptions('acceptedRows', inputs, ACCEPTED_ROWS_INPUTS);
  const { device } = checked.path;
  const results = native.acceptedRows(
    checked.path.handle,
    checked.counts.handle,
    checked.drawn.handle,
    checked.lengths.handle,
    checked.open.handle,
    checked.openTokens.handle,
    checked.rows,
  );
  const [rowOffsets, lengths, parents, positions, sources, following, last, nextOpen, nextOpenTokens, kept] =
    results.map((handle) => new Tensor(device, handle)) as TenTensors;
  const tree = { rowOffsets, lengths, parents };
  return { tree, positions, sources, following, last, nextOpen, nextOpenTokens, kept };
}

type TenTensors = [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor];

/** Known tokens and drafts for {@link chainTokens}. */
export interface ChainTokensInputs {
  /** int32 [sequences, columns]: the token that follows each row of a sequence. */
  following: Tensor;
  /** int32 [sequences, depth, width]: the drafts of each head from head 2 on, best first. */
  drafts: Tensor;
  /** int32 [sequences + 1]: first row of each sequence, then the number of all rows. */
  rowOffsets: Tensor;
  /** Number of the head, 2 … depth + 2. */
  head: number;
  /** Number of rows of the result. */
  rows: number;
}

const CHAIN_TOKENS_INPUTS: Schema<ChainTokensInputs> = {
  ...tensors('following', 'drafts', 'rowOffsets'),
  head: required(integer(2, LARGEST_INT)),
  rows: required(integer(0, LARGEST_INT)),
};

/**
 * Returns the tokens that a chained head reads: head k reads at each row the token k − 1 places after it. Behind the last known token
 * of a sequence come the best drafts of the heads before.
 * @returns int32 [rows]; 0 for padding
 * @throws ForetokenError INDEX_OUT_OF_RANGE for offsets that fall, or that give a sequence more rows than `following` has columns; if
 * only the device knows, the next readback rejects
 */
export function chainTokens(inputs: ChainTokensInputs): Tensor {
  const { following, drafts, rowOffsets, head, rows } = checkOptions(
    'chainTokens',
    inputs,
    CHAIN_TOKENS_INPUTS,
  );
  const tokens = native.chainTokens(following.handle, drafts.handle, rowOffsets.handle, head, rows);
  return new Tensor(following.device, tokens);
}
