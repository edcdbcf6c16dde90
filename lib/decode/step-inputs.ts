import type { Device } from '../tensor/device';
import type { TreeRows } from '../tensor/ops/attention/kv-cache';
import { keep } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import { layOut, type Part, type StepBatch } from './step-batch';

/** The inputs of a step, in host memory and on the device, all int32: one upload copies them. */
export class StepInputs implements Disposable {
  readonly host: StepBatch;
  /** [rows] */
  readonly tokens: Tensor;
  /** [rows] */
  readonly positions: Tensor;
  /** Which rows belong to which slot, and their parents. */
  readonly tree: TreeRows;
  /** [slots] */
  readonly textLengths: Tensor;
  /** [slots] */
  readonly promptLengths: Tensor;
  readonly #host: Int32Array;
  readonly #device: Tensor;
  readonly #views: Tensor[] = [];

  constructor(device: Device, slots: number, rows: number) {
    this.#host = new Int32Array(3 * rows + 4 * slots + 1);
    this.#device = keep(device.tensor(this.#host));
    let offset = 0;
    const next = (count: number): { host: Int32Array; device: Tensor } => {
      const view = keep(this.#device.view(offset, [count]));
      this.#views.push(view);
      const host = this.#host.subarray(offset, (offset += count));
      return { host, device: view };
    };
    const [tokens, positions, parents] = [next(rows), next(rows), next(rows)];
    const [rowOffsets, lengths, texts, prompts] = [next(slots + 1), next(slots), next(slots), next(slots)];
    this.host = {
      ...{ tokens: tokens.host, positions: positions.host, parents: parents.host },
      ...{ rowOffsets: rowOffsets.host, lengths: lengths.host },
      ...{ textLengths: texts.host, promptLengths: prompts.host },
    };
    this.tokens = tokens.device;
    this.positions = positions.device;
    this.tree = { parents: parents.device, rowOffsets: rowOffsets.device, lengths: lengths.device };
    this.textLengths = texts.device;
    this.promptLengths = prompts.device;
  }

  /** Lays out and uploads the rows of some parts, as {@link layOut} does it. */
  write(parts: readonly Part[], lengths: Int32Array): void {
    layOut(parts, lengths, this.host);
    this.#device.write(this.#host);
  }

  dispose(): void {
    for (const view of this.#views) view.dispose();
    this.#device.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
