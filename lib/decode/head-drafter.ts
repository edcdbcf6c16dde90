import { inputsOf, reads, stateOf } from '../heads/inputs';
import type { MtpModel, TrunkStates } from '../model/model';
import { ModelCache } from '../nn/model-cache';
import type { Rows } from '../nn/rows';
import { rows as rowsOf } from '../tensor/ops/layers/reshape';
import { chainTokens } from '../tensor/ops/sampling/accepted-rows';
import { keep, scope } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import { OpenPositions, type Accepted } from './open-positions';
import { makeProposer, type Proposals, type ProposerOptions } from './proposer';
import { takeRows } from './take-rows';

/** Sizes of a {@link HeadDrafter}. */
export interface HeadDrafterOptions {
  /** Most texts at once. */
  readonly slots: number;
  /** How many heads draft, 1 … numHeads - 1. */
  readonly depth: number;
}

/** The drafts that heads shall propose after a step. */
export interface DraftRequest extends ProposerOptions {
  /** Tokens ahead, at most the drafter's depth. */
  readonly depth: number;
  /** Most accepted rows of all slots. */
  readonly rows: number;
}

/**
 * Runs heads 2 … depth+1 at the end of a step on what it accepted, and proposes tokens for the positions after each new root. All
 * calls enqueue the same operations for the same sizes, so that a step can capture them.
 *
 * Heads with a KV cache read every position once the token after it is drawn. Heads without one read the last position of each text
 * alone. Head k of those that read `tokens` needs k-1 tokens after a position, and the last of these are drafts; such positions
 * stay open and are read again after the next step.
 */
export class HeadDrafter implements Disposable {
  /** How many heads draft. */
  readonly depth: number;
  /** Keys and values of the heads; null if they have no layers. */
  readonly #cache: ModelCache | null;
  readonly #open: OpenPositions;
  /** int32 [slots, depth, 1]: in place of drafts at positions that are read again before they count. */
  readonly #noDrafts: Tensor;

  constructor(
    private readonly model: MtpModel,
    { slots, depth }: HeadDrafterOptions,
  ) {
    const { device, dtype, config, heads } = model;
    const { numKeyValueHeads: kvHeads, headDim, maxPositionEmbeddings: capacity } = config;
    const layers = heads.layers * depth;
    this.depth = depth;
    this.#cache =
      layers > 0
        ? new ModelCache(device, {
            layers,
            kvHeads,
            headDim,
            capacity,
            sequences: slots,
            dtype,
            recurrent: null,
          })
        : null;
    this.#open = new OpenPositions(model, slots, layers > 0 && reads(heads, 'tokens') ? depth - 1 : 0);
    this.#noDrafts = keep(device.tensor(new Int32Array(slots * depth), [slots, depth, 1]));
  }

  /**
   * Reads what a step accepted and proposes tokens. The proposals of a slot that accepted nothing are meaningless.
   * @param states of the rows of the step
   */
  draft(states: TrunkStates, accepted: Accepted, request: DraftRequest): Proposals {
    return scope(() => this.#run(states, accepted, request.rows, request)!);
  }

  /** Reads what a step accepted, if the next step is not to draft. */
  read(states: TrunkStates, accepted: Accepted, rows: number): void {
    if (this.#cache) scope(() => this.#run(states, accepted, rows, null));
  }

  /** Runs the heads; those that are asked propose. Heads with a cache read every position, whether they propose or not. */
  #run(
    states: TrunkStates,
    accepted: Accepted,
    capacity: number,
    request: DraftRequest | null,
  ): Proposals | null {
    const depth = request?.depth ?? 0;
    const { heads, device } = this.model;
    const cache = this.#cache;
    const listed = this.#open.read(states, accepted, capacity);
    const { last, following, positions, tree } = listed;
    // Heads without a cache need the last row of each text alone.
    const pick = (x: Tensor): Tensor => (cache ? x : takeRows(last, x));
    const read = listed.take(pick(listed.sources));
    const rows: Rows = cache
      ? { kind: 'cached', cache, tree, positions }
      : {
          ...{ kind: 'packed', batch: last.size, starts: device.tensor(new Int32Array(last.size)) },
          positions: pick(positions),
        };
    const tokensOf = (head: number, drafts: Tensor): Tensor =>
      pick(chainTokens({ following, drafts, head, rowOffsets: tree.rowOffsets, rows: positions.size }));
    const noDrafts = rowsOf(this.#noDrafts, 0, last.size);
    const proposer = request && makeProposer(this.model, takeRows(last, positions), request);
    const root = reads(heads, 'root') ? tokensOf(2, noDrafts) : null;
    let previous = read.hidden;
    const deepest = 1 + (cache ? this.depth : depth);
    for (let k = 2; k <= deepest; k++) {
      // A head that proposes nothing needs no drafts: positions at which it would read one are read again.
      const drafts = (k <= depth + 1 ? proposer?.drafts : null) ?? noDrafts;
      const tokens = reads(heads, 'tokens') ? tokensOf(k, drafts) : null;
      const out = heads.forward(k, inputsOf(heads, { ...read, previous, tokens, root }, rows));
      if (k <= depth + 1) proposer?.add(cache ? takeRows(last, out.hidden) : out.hidden);
      if (reads(heads, 'previous') && k < deepest) previous = stateOf(k, out);
    }
    return proposer?.finish() ?? null;
  }

  /**
   * Makes sure that there is memory for the positions of a slot.
   * @throws ForetokenError OUT_OF_MEMORY
   */
  reserve(slot: number, positions: number): void {
    this.#cache?.reserve(slot, positions);
  }

  /** Forgets the text of a slot. */
  release(slot: number): void {
    this.#cache?.release(slot);
    this.#open.release(slot);
  }

  dispose(): void {
    this.#cache?.dispose();
    this.#open.dispose();
    this.#noDrafts.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
