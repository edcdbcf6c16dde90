import { inputsOf } from '../heads/inputs';
import type { MtpModel } from '../model/model';
import type { TrainingRows } from '../nn/rows';
import { reshape, rows } from '../tensor/ops/layers/reshape';
import { keep, scope } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import type { Drafter, TrunkStates } from './drafter';
import { gather, propose } from './drafting';
import { MAX_DRAFT_NODES } from './options';
import type { StepInputs } from './step-inputs';

/** Drafts with heads that look at one position alone: the one at which the root was drawn. */
export class PositionDrafter implements Drafter {
  readonly capturable = true;
  /** States of the nodes of the previous step. */
  readonly #last: TrunkStates;
  /** A sequence of one token, at the position at which the root was drawn. */
  readonly #alone: TrainingRows;

  constructor(
    private readonly model: MtpModel,
    readonly depth: number,
    private readonly inputs: StepInputs,
  ) {
    const shape = [MAX_DRAFT_NODES + 1, model.config.hiddenSize];
    const zeros = (): Tensor => keep(model.device.zeros(shape, model.dtype));
    this.#last = { z: zeros(), hidden: zeros() };
    const starts = keep(model.device.tensor(Int32Array.of(0)));
    this.#alone = { kind: 'packed', batch: 1, starts, positions: inputs.position };
  }

  see({ z, hidden }: TrunkStates): void {
    const count = z.shape[0]!;
    rows(this.#last.z, 0, count).copyFrom(z);
    rows(this.#last.hidden, 0, count).copyFrom(hidden);
  }

  commit(): void {
    // The inputs of the next step name the node at which the root was drawn.
  }

  reset(): void {
    // A draft reads states that were seen since.
  }

  draft(depth: number, width: number): Tensor {
    return scope(() => {
      const { model, inputs } = this;
      const states = gather(this.#last, inputs.drawnAt, model);
      const stacked = model.device.empty([depth, model.config.hiddenSize], model.dtype);
      const read = inputsOf(model.heads, {
        ...{ ...states, previous: null, tokens: null },
        ...{ root: inputs.root, rows: this.#alone },
      });
      for (let k = 2; k <= depth + 1; k++) {
        rows(stacked, k - 2, 1).copyFrom(model.heads.forward(k, read).hidden);
      }
      return reshape(propose(model, stacked, width), [1, depth, width]);
    });
  }

  dispose(): void {
    this.#last.z.dispose();
    this.#last.hidden.dispose();
    this.#alone.starts.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
