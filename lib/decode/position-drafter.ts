import { featureLayers, inputsOf } from '../heads/inputs';
import type { MtpModel, TrunkStates } from '../model/model';
import type { TrainingRows } from '../nn/rows';
import { reshape, rows } from '../tensor/ops/layers/reshape';
import { keep, scope } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import type { Drafter } from './drafter';
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
    const { hiddenSize } = model.config;
    const zeros = (width: number): Tensor =>
      keep(model.device.zeros([MAX_DRAFT_NODES + 1, width], model.dtype));
    const layers = featureLayers(model.heads).length;
    const features = layers > 0 && { features: zeros(layers * hiddenSize) };
    this.#last = { z: zeros(hiddenSize), hidden: zeros(hiddenSize), ...features };
    const starts = keep(model.device.tensor(Int32Array.of(0)));
    this.#alone = { kind: 'packed', batch: 1, starts, positions: inputs.position };
  }

  see(states: TrunkStates): void {
    for (const [name, last] of Object.entries(this.#last)) {
      rows(last, 0, states[name]!.shape[0]!).copyFrom(states[name]!);
    }
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
      const read = inputsOf(model.heads, { ...states, root: inputs.root }, this.#alone);
      for (let k = 2; k <= depth + 1; k++) {
        rows(stacked, k - 2, 1).copyFrom(model.heads.forward(k, read).hidden);
      }
      return reshape(propose(model, stacked, width), [1, depth, width]);
    });
  }

  dispose(): void {
    for (const last of Object.values(this.#last)) last.dispose();
    this.#alone.starts.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
