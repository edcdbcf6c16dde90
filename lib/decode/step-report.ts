import type { Device } from '../tensor/device';
import type { VerifyTreeResult } from '../tensor/ops/sampling/verify-tree';
import { keep } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import { MARKS, StepClock, type PhaseSeconds } from './step-clock';

/** Results of a step that the host needs. */
export interface StepReport {
  /** Accepted nodes of the tree, root first. */
  path: number[];
  /** The token drawn at each of them. */
  tokens: Int32Array;
  seconds: PhaseSeconds;
  /** Whether this run had to capture the step and ran on memory that no processor cache held: its time says little. */
  isFirst: boolean;
}

/** Layout of a report in int32: timestamps, number of accepted nodes, accepted nodes, drawn tokens. */
const COUNT = MARKS;
const PATH = COUNT + 1;

/** The tensor that a step writes its report to, so that the host needs one readback. */
export class ReportBuffer implements Disposable {
  readonly #tensor: Tensor;
  /** Where the drawn tokens begin. */
  readonly #drawn: number;

  /** @param maxDepth depth of the deepest tree: a path has at most one node more */
  constructor(device: Device, maxDepth: number) {
    const longest = maxDepth + 1;
    this.#drawn = PATH + longest;
    this.#tensor = keep(device.empty([this.#drawn + longest], 'int32'));
  }

  /** Returns a clock that writes its timestamps into the report. */
  clock(): StepClock {
    return new StepClock(this.#tensor);
  }

  /** Enqueues copies of the results of verification into the report. */
  write({ counts, path, drawn }: Pick<VerifyTreeResult, 'counts' | 'path' | 'drawn'>): void {
    this.#tensor.view(COUNT, counts.shape).copyFrom(counts);
    this.#tensor.view(PATH, path.shape).copyFrom(path);
    this.#tensor.view(this.#drawn, drawn.shape).copyFrom(drawn);
  }

  /** Waits for the step and reads its report. */
  async read(): Promise<Omit<StepReport, 'isFirst'>> {
    const report = (await this.#tensor.data()) as Int32Array;
    const count = report[COUNT]!;
    return {
      path: Array.from(report.subarray(PATH, PATH + count)),
      tokens: report.slice(this.#drawn, this.#drawn + count),
      seconds: StepClock.seconds(report.subarray(0, MARKS)),
    };
  }

  dispose(): void {
    this.#tensor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
