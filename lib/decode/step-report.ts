import type { Device } from '../tensor/device';
import type { VerifyTreeResult } from '../tensor/ops/sampling/verify-tree';
import { keep } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import type { HeadDrafts } from './draft-tree';
import type { Proposals } from './proposer';
import type { StepBatch } from './step-batch';
import { MARKS, StepClock, type PhaseSeconds } from './step-clock';
import type { StepForm } from './step-form';

/** Results of a step that the host needs. */
export interface StepReport {
  readonly seconds: PhaseSeconds;
  /** Returns the accepted rows of a slot, counted from its first; empty if no token could be drawn at its root. */
  path(slot: number): number[];
  /** Returns the token drawn at each of them. */
  tokens(slot: number): Int32Array;
  /** Returns what heads proposed for the positions after the last of them; null if they proposed nothing. */
  drafts(slot: number): HeadDrafts | null;
}

/**
 * The tensor that a step writes its report to, so that the host needs one readback. In int32: timestamps, the number of
 * accepted rows of each slot, the rows, the drawn tokens, the proposed tokens, and the bits of their weights.
 */
export class ReportBuffer implements Disposable {
  readonly #tensor: Tensor;
  readonly #weights: Tensor | null;
  readonly #at: Record<'counts' | 'path' | 'drawn' | 'drafts' | 'weights', number>;

  constructor(
    device: Device,
    private readonly form: Pick<StepForm, 'slots' | 'pathLength' | 'proposal'>,
  ) {
    const { slots } = form;
    const paths = slots * form.pathLength;
    const { depth, width } = form.proposal ?? { depth: 0, width: 0 };
    const drafted = slots * depth * width;
    const counts = MARKS;
    const path = counts + slots;
    const drawn = path + paths;
    const drafts = drawn + paths;
    const weights = drafts + drafted;
    this.#at = { counts, path, drawn, drafts, weights };
    this.#tensor = keep(device.empty([weights + drafted], 'int32'));
    this.#weights = drafted > 0 ? keep(this.#tensor.view(weights, [drafted], 'float32')) : null;
  }

  /** Returns a clock that writes its timestamps into the report. */
  clock(): StepClock {
    return new StepClock(this.#tensor);
  }

  /** Enqueues copies of the results of a step into the report. */
  write({ counts, path, drawn }: VerifyTreeResult, proposals: Proposals | null): void {
    this.#tensor.view(this.#at.counts, counts.shape).copyFrom(counts);
    this.#tensor.view(this.#at.path, path.shape).copyFrom(path);
    this.#tensor.view(this.#at.drawn, drawn.shape).copyFrom(drawn);
    this.writeProposals(proposals);
  }

  /** Enqueues copies of what heads proposed. */
  writeProposals(proposals: Proposals | null): void {
    if (!proposals) return;
    this.#tensor.view(this.#at.drafts, proposals.tokens.shape).copyFrom(proposals.tokens);
    this.#weights!.copyFrom(proposals.weights);
  }

  /** Waits for the step with these rows and reads its report. */
  async read({ rowOffsets }: StepBatch): Promise<StepReport> {
    const all = (await this.#tensor.data()) as Int32Array;
    const { form } = this;
    const { slots } = form;
    const at = this.#at;
    const countOf = (slot: number): number => all[at.counts + slot]!;
    const rowsOf = (offset: number, slot: number): Int32Array => {
      const start = offset + slot * form.pathLength;
      return all.subarray(start, start + countOf(slot));
    };
    const { depth, width } = form.proposal ?? { depth: 0, width: 0 };
    const size = depth * width;
    const weights = new Float32Array(all.buffer, all.byteOffset + 4 * at.weights, slots * size);
    return {
      seconds: StepClock.seconds(all.subarray(0, MARKS)),
      path: (slot) => Array.from(rowsOf(at.path, slot), (row) => row - rowOffsets[slot]!),
      tokens: (slot) => rowsOf(at.drawn, slot),
      drafts: (slot) =>
        form.proposal && {
          ...{ depth, width },
          tokens: listOf(all, at.drafts + slot * size, size),
          weights: listOf(weights, slot * size, size),
        },
    };
  }

  dispose(): void {
    this.#weights?.dispose();
    this.#tensor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Copies a part of an array, faster than making a view of it. */
function listOf(all: Int32Array | Float32Array, start: number, size: number): number[] {
  const list: number[] = [];
  for (let i = start; i < start + size; i++) list.push(all[i]!);
  return list;
}
