import { noGrad } from '../tensor/autograd';
import { capture, type Capture } from '../tensor/capture';
import type { Tensor } from '../tensor/tensor';
import { forward, propose, verify, type StepContext } from './step';
import type { TrunkStates } from '../model/model';
import type { Part } from './step-batch';
import type { StepForm } from './step-form';
import type { StepClock } from './step-clock';
import { StepInputs } from './step-inputs';
import { StepMasks, type Failures } from './step-masks';
import { ReportBuffer, type StepReport } from './step-report';

/** The outcome of a captured step. */
export interface CapturedResult {
  readonly report: StepReport;
  /** Sequences whose constraints failed. */
  readonly failures: Failures;
  /** Whether the step had to be captured. */
  readonly isFirst: boolean;
}

type AnyResult = Readonly<Record<string, Tensor>>;
type AnyCapture = Capture<AnyResult>;

const NO_FAILURES: Failures = new Map();

/**
 * A step of one form: draft trees of all slots go through the model, tokens are drawn, accepted rows are committed, and heads
 * propose tokens for the next step. Its operations are the same every time, so they are captured once, and each step is one call.
 * With constraints it is two: one for the model, and one for the rest, which needs the masks that the host makes meanwhile.
 */
export class CapturedStep implements Disposable {
  readonly #inputs: StepInputs;
  readonly #report: ReportBuffer;
  readonly #masks: StepMasks | null;
  /** One part after another. */
  readonly #captures: AnyCapture[] = [];
  /** Tensors that the captures read and that may be replaced by others; null before all parts are captured. */
  #read: readonly (Tensor | null)[] | null = null;

  constructor(
    private readonly context: StepContext,
    private readonly form: StepForm,
  ) {
    const { device, config } = context.model;
    this.#inputs = new StepInputs(device, form.slots, form.rows);
    this.#report = new ReportBuffer(device, form);
    this.#masks = form.isMasked ? new StepMasks(device, form.rows, config.vocabSize) : null;
  }

  /** The captured operations, whose memory other steps may share; undefined without any. */
  get captured(): AnyCapture | undefined {
    return this.#captures[0];
  }

  /**
   * Runs the step.
   * @param parts the trees, in ascending order of their slots
   * @param neighbour another step that never runs at the same time
   */
  async run(parts: readonly Part[], neighbour: CapturedStep | undefined): Promise<CapturedResult> {
    this.#inputs.write(parts, this.context.cache.lengths);
    const isFirst = this.#isOutdated();
    if (isFirst) this.#record(neighbour);
    this.#captures[0]!.replay();
    const failures = this.#masks?.write(parts) ?? NO_FAILURES;
    this.#captures[1]?.replay();
    return { report: await this.#report.read(this.#inputs.host), failures, isFirst };
  }

  /** Whether the step is not captured yet, or reads a tensor that has been replaced. */
  #isOutdated(): boolean {
    return !this.#read || this.#reads().some((tensor, i) => tensor !== this.#read![i]);
  }

  #reads(): (Tensor | null)[] {
    const { model, sampling, history } = this.context;
    const texts = this.form.needs === 'history' ? history.tokens : null;
    return [...model.tables.tensors, sampling.packed.numbers, texts];
  }

  #record(neighbour: CapturedStep | undefined): void {
    this.#forget();
    const clock = this.#report.clock();
    let states: TrunkStates;
    const model = (): TrunkStates => (states = this.#enqueueModel(clock));
    const rest = (): Record<string, never> => {
      this.#enqueueRest(clock, states);
      return {};
    };
    const whole = (): Record<string, never> => {
      model();
      return rest();
    };
    let sharesMemoryWith = neighbour?.captured;
    for (const part of this.#masks ? [model, rest] : [whole]) {
      this.#captures.push(capture<AnyResult>(this.context.model.device, part, { sharesMemoryWith }));
      sharesMemoryWith = this.#captures.at(-1);
    }
    this.#read = this.#reads();
  }

  #enqueueModel(clock: StepClock): TrunkStates {
    clock.mark();
    const states = noGrad(() => forward(this.context, this.#inputs));
    clock.mark();
    return states;
  }

  #enqueueRest(clock: StepClock, states: TrunkStates): void {
    const { context, form } = this;
    const inputs = this.#inputs;
    noGrad(() => {
      const verified = verify(context, inputs, states, form, this.#masks?.tensor ?? null);
      clock.mark();
      context.cache.commit(inputs.tree, verified.path, verified.counts);
      clock.mark();
      const proposals = propose(context, inputs.tree, states, verified, form);
      clock.mark();
      this.#report.write(verified, proposals);
    });
  }

  #forget(): void {
    for (const part of this.#captures.splice(0)) part.dispose();
    this.#read = null;
  }

  dispose(): void {
    this.#forget();
    this.#masks?.dispose();
    this.#report.dispose();
    this.#inputs.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
