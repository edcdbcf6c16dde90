import { statesRead } from '../heads/inputs';
import type { MtpModel, TrunkStates } from '../model/model';
import { rows } from '../tensor/ops/layers/reshape';
import { acceptedRows, type AcceptedRowsResult } from '../tensor/ops/sampling/accepted-rows';
import { keep } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import { takeRows } from './take-rows';

/** The outcome of a step in the first slots of an engine, from `verifyTree` or a piece of a prompt; all int32. */
export interface Accepted {
  /** `[slots, stride]`: accepted rows of the step, root first. */
  readonly path: Tensor;
  /** `[slots]`: number of accepted rows; 0 for a slot that did nothing. */
  readonly counts: Tensor;
  /** `[slots, stride]`: the token after each accepted row; the last is the new root. */
  readonly drawn: Tensor;
  /** `[slots]`: committed positions before the step. */
  readonly lengths: Tensor;
}

/**
 * The last positions of each text, at which heads have seen following tokens only as drafts. Their states are kept, because heads read
 * them again after the next step.
 */
export class OpenPositions implements Disposable {
  /** int32 [slots]: how many there are. */
  readonly #counts: Tensor;
  /** int32 [slots, most]: the token after each, oldest first. */
  readonly #tokens: Tensor;
  /** `[slots · most, width]` each: what heads read of the trunk. */
  readonly #states: Readonly<Record<string, Tensor>>;

  constructor(
    model: MtpModel,
    slots: number,
    private readonly most: number,
  ) {
    const { device, dtype, config, heads } = model;
    this.#counts = keep(device.tensor(new Int32Array(slots)));
    this.#tokens = keep(device.tensor(new Int32Array(slots * most), [slots, most]));
    const states = statesRead(heads).map(({ name, width }) => {
      return [name, keep(device.zeros([slots * most, width * config.hiddenSize], dtype))] as const;
    });
    this.#states = Object.fromEntries(states);
  }

  /**
   * Lists the rows that heads read after a step, first the open positions of each text, then the accepted ones. Then keeps the
   * positions that are open now.
   * @param states of the rows of the step
   * @param capacity most accepted rows
   * @returns the rows, and a function that takes states by their sources
   */
  read(
    states: TrunkStates,
    { path, counts, drawn, lengths }: Accepted,
    capacity: number,
  ): AcceptedRowsResult & { take: (sources: Tensor) => TrunkStates } {
    const { most } = this;
    const slots = counts.shape[0]!;
    const [open, openTokens] = [rows(this.#counts, 0, slots), rows(this.#tokens, 0, slots)];
    const listed = acceptedRows({
      ...{ path, counts, drawn, lengths, open, openTokens },
      rows: capacity + slots * most,
    });
    const all = Object.entries(this.#states).map(([name, kept]) => {
      const before = rows(kept, 0, slots * most);
      const both = stack(before, states[name]!);
      before.copyFrom(takeRows(listed.kept, both));
      return [name, both] as const;
    });
    open.copyFrom(listed.nextOpen);
    openTokens.copyFrom(listed.nextOpenTokens);
    const take = (sources: Tensor): TrunkStates =>
      Object.fromEntries(all.map(([name, both]) => [name, takeRows(sources, both)])) as TrunkStates;
    return { ...listed, take };
  }

  /** Forgets the text of a slot. */
  release(slot: number): void {
    using count = this.#counts.view(slot, [1]);
    count.write(Int32Array.of(0));
  }

  dispose(): void {
    for (const tensor of [this.#counts, this.#tokens, ...Object.values(this.#states)]) tensor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Returns the rows of a, then those of b. */
function stack(a: Tensor, b: Tensor): Tensor {
  const [above, below] = [a.shape[0]!, b.shape[0]!];
  if (above === 0) return b;
  const both = a.device.empty([above + below, b.shape[1]!], b.dtype);
  rows(both, 0, above).copyFrom(a);
  rows(both, above, below).copyFrom(b);
  return both;
}
