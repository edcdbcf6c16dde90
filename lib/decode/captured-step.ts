import { noGrad } from '../tensor/autograd';
import { capture, type Capture } from '../tensor/capture';
import type { Tensor } from '../tensor/tensor';
import { forward, propose, verify, type StepContext } from './step';
import type { Part } from './step-batch';
import type { StepForm } from './step-form';
import { StepInputs } from './step-inputs';
import { ReportBuffer, type StepReport } from './step-report';

/**
 * A step of one form: draft trees of all slots go through the model, tokens are drawn, accepted rows are committed, and heads
 * propose tokens for the next step. Its operations are the same every time, so they are captured once, and each step is one call.
 */
export class CapturedStep implements Disposable {
  readonly #inputs: StepInputs;
  readonly #report: ReportBuffer;
  #capture: Capture<Record<string, never>> | null = null;
  /** Tensors that the capture reads and that may be replaced by others. */
  #read: readonly (Tensor | null)[] = [];

  constructor(
    private readonly context: StepContext,
    private readonly form: StepForm,
  ) {
    const { device } = context.model;
    this.#inputs = new StepInputs(device, form.slots, form.rows);
    this.#report = new ReportBuffer(device, form);
  }

  /** The captured operations, whose memory other steps may share. */
  get captured(): Capture<Record<string, never>> | null {
    return this.#capture;
  }

  /**
   * Runs the step.
   * @param parts the trees, in ascending order of their slots
   * @param neighbour another step that never runs at the same time
   * @returns `isFirst`: whether the step had to be captured
   */
  async run(
    parts: readonly Part[],
    neighbour: CapturedStep | undefined,
  ): Promise<{ report: StepReport; isFirst: boolean }> {
    this.#inputs.write(parts, this.context.cache.lengths);
    const isFirst = this.#isOutdated();
    if (isFirst) this.#record(neighbour);
    this.#capture!.replay();
    return { report: await this.#report.read(this.#inputs.host), isFirst };
  }

  /** Whether there is no capture, or it reads a tensor that has been replaced. */
  #isOutdated(): boolean {
    return !this.#capture || this.#reads().some((tensor, i) => tensor !== this.#read[i]);
  }

  #reads(): (Tensor | null)[] {
    const { model, sampling, history } = this.context;
    const texts = this.form.needs === 'history' ? history.tokens : null;
    return [...model.tables.tensors, sampling.packed.numbers, texts];
  }

  #record(neighbour: CapturedStep | undefined): void {
    this.#capture?.dispose();
    this.#capture = null;
    this.#read = this.#reads();
    this.#capture = capture(this.context.model.device, () => this.#enqueue(), {
      sharesMemoryWith: neighbour?.captured ?? undefined,
    });
  }

  #enqueue(): Record<string, never> {
    const clock = this.#report.clock();
    const { context, form } = this;
    const inputs = this.#inputs;
    noGrad(() => {
      clock.mark();
      const states = forward(context, inputs);
      clock.mark();
      const verified = verify(context, inputs, states, form);
      clock.mark();
      context.cache.compact(inputs.tree, verified.path, verified.counts);
      clock.mark();
      const proposals = propose(context, inputs.tree, states, verified, form);
      clock.mark();
      this.#report.write(verified, proposals);
    });
    return {};
  }

  dispose(): void {
    this.#capture?.dispose();
    this.#report.dispose();
    this.#inputs.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
